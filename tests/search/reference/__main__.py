"""Print the generated part of docs/reference/search.md, or with ``--write`` put it there."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.search.reference.page import PAGE, insert, render
from tests.search.reference.run import outcomes
from tests.server import RunningServer

# What the server says about itself goes to the standard error, too.
output = os.dup(1)
os.dup2(2, 1)
with tempfile.TemporaryDirectory() as folder:
    Path(folder).chmod(0o755)
    with RunningServer.on_directory(Path(folder) / "data") as server, server.client() as client:
        found = outcomes(client)
for outcome in found:
    if outcome.fault:
        sys.stderr.write(f"{outcome.example.query}: {outcome.fault}\n")
os.dup2(output, 1)
if "--write" in sys.argv:
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), render(found)), encoding="utf-8")
else:
    sys.stdout.write(render(found) + "\n")
sys.exit(any(outcome.fault for outcome in found))
