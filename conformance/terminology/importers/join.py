"""Bring the rows of several large tables together by concept, within little memory.

A release lists concepts, descriptions and relationships apart, each in an order of its own. Rows go to one of several
temporary files, each for some thousands of neighbouring concepts, and are grouped when one such file is read back. In memory
are the identifiers of the concepts and the rows of one file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_PER_FILE = 8192
_PENDING = 200_000


class Join:
    """Rows of text by concept. Concepts come out in the order in which they were added, rows in that in which they were put."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="praxis-import-")
        self.places: dict[str, int] = {}
        self._pending: list[list[str]] = []
        self._waiting = 0

    def __enter__(self) -> Join:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def add(self, concept: str) -> bool:
        """Add a concept; return whether it is a new one."""
        if concept in self.places:
            return False
        self.places[concept] = len(self.places)
        return True

    def put(self, concept: str, row: str) -> bool:
        """Put a row, one line of text, to a concept; return whether there is such a concept."""
        place = self.places.get(concept)
        if place is None:
            return False
        which = place // _PER_FILE
        while which >= len(self._pending):
            self._pending.append([])
        self._pending[which].append(f"{place % _PER_FILE}\t{row}\n")
        self._waiting += 1
        if self._waiting >= _PENDING:
            self._flush()
        return True

    def _flush(self) -> None:
        for which, rows in enumerate(self._pending):
            if rows:
                with self._file(which).open("a", encoding="utf-8", newline="\n") as file:
                    file.write("".join(rows))
                rows.clear()
        self._waiting = 0

    def _file(self, which: int) -> Path:
        return Path(self._folder.name) / str(which)

    def groups(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each concept and its rows."""
        self._flush()
        rows: list[list[str]] = []
        for place, concept in enumerate(self.places):
            local = place % _PER_FILE
            if local == 0:
                rows = self._read(place // _PER_FILE)
            yield concept, rows[local]

    def _read(self, which: int) -> list[list[str]]:
        rows: list[list[str]] = [[] for _ in range(_PER_FILE)]
        path = self._file(which)
        if path.exists():
            with path.open(encoding="utf-8", newline="\n") as file:
                for line in file:
                    local, _, row = line.partition("\t")
                    rows[int(local)].append(row[:-1])
        return rows
