"""The example of docs/reference/conformance.md runs as it stands, without anything of the server."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance.md"
_BLOCKS = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)
_REFUSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("fhir_server", "ai", "mappers", "sqlalchemy", "psycopg", "fastapi"):
            raise ImportError(name + " is not for the library")
sys.meta_path.insert(0, Refuse())
"""


def test_the_example_prints_what_the_page_says() -> None:
    blocks = dict(_BLOCKS.findall(PAGE.read_text(encoding="utf-8")))
    done = subprocess.run(
        [sys.executable, "-c", _REFUSE + blocks["python"]], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == blocks["text"]
