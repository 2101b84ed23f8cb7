"""Texts without annotations, for the word clusters: tables with a column of notes, plain texts, tars and folders of them."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ai.read_resources import UnreadableDataError

_COLUMNS = ("text", "note", "section_text")
_LONGEST_CELL = 10_000_000


def read_texts(path: Path) -> Iterator[str]:
    """Yield the texts of a .txt or .csv (a column text, note or section_text), gzipped or not, of a tar or folder of them.

    Raises UnreadableDataError for a file that is missing or of another kind.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*.txt")):
            yield from read_texts(file)
        return
    try:
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for member in sorted(archive.getmembers(), key=lambda member: member.name):
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is not None and member.name.endswith((".txt", ".csv")):
                        yield from _texts(member.name, content.read())
            return
        data = path.read_bytes()
        name = path.name.removesuffix(".gz")
        if not name.endswith((".txt", ".csv")):
            raise UnreadableDataError(f"{path}: neither .txt nor .csv nor a tar")
        yield from _texts(name, gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, UnicodeDecodeError, tarfile.TarError, csv.Error) as error:
        raise UnreadableDataError(f"{path}: {error}") from error


def _texts(name: str, data: bytes) -> Iterator[str]:
    text = data.decode("utf-8")
    if name.endswith(".txt"):
        yield text
        return
    csv.field_size_limit(_LONGEST_CELL)
    for row in csv.DictReader(io.StringIO(text)):
        yield from (row[column] for column in _COLUMNS if row.get(column))
