"""The CodiEsp corpus (CC BY 4.0): clinical cases, machine-translated to English, with the codes that coders gave.

https://zenodo.org/records/3837305. Folder layout: ``text_files_en/*.txt`` and ``*D.tsv`` (case, code) in each part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ai.read_resources import UnreadableDataError, read_text

_CATEGORY = 3
_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class Case:
    """A note and the ICD-10 diagnosis codes given to it, upper-case and dotted."""

    identity: str
    text: str
    codes: frozenset[str]


def read_part(folder: Path) -> list[Case]:
    """Read one part (train, dev, test …), cases in the order of their names; raises UnreadableDataError."""
    tables = sorted(folder.glob("*D.tsv"))
    texts = sorted((folder / "text_files_en").glob("*.txt"))
    if not tables or not texts:
        raise UnreadableDataError(f"{folder} has no *D.tsv or no text_files_en/*.txt")
    given: dict[str, set[str]] = {}
    for number, line in enumerate(read_text(tables[0]).splitlines(), 1):
        cells = line.split("\t")
        if len(cells) < _COLUMNS:
            raise UnreadableDataError(f"{tables[0]}, line {number}: not a case and a code")
        given.setdefault(cells[0], set()).add(dotted(cells[1]))
    # Sentences are split one a line by the translation; joined, they read as the note did.
    return [
        Case(t.stem, re.sub(r"\n+", "\n", read_text(t)), frozenset(given[t.stem])) for t in texts if t.stem in given
    ]


def dotted(code: str) -> str:
    """Return a code in upper case with its dot."""
    bare = code.strip().upper().replace(".", "")
    return bare if len(bare) <= _CATEGORY else f"{bare[:_CATEGORY]}.{bare[_CATEGORY:]}"
