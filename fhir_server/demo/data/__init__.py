"""The wording of the demo practice: names, places, codes and note phrases, as JSON beside this file."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read(name: str) -> dict[str, Any]:
    """Return one data file by its name without suffix; callers must not change it."""
    content: dict[str, Any] = json.loads((files(__package__) / f"{name}.json").read_text(encoding="utf-8"))
    return content
