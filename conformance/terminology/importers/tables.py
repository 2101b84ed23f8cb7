"""Rows of text tables: separated by tabs, pipes or commas, with or without a header and quotes (RFC 4180)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NoReturn

from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.importers.source import Member


def refuse(member: Member, line: int, column: str, problem: str) -> NoReturn:
    """Raise InvalidContent that says where the problem is."""
    raise InvalidContent(f"{member.stem}, line {line}, column {column}: {problem}")


def read_columns(
    member: Member,
    wanted: Sequence[str],
    *,
    header: Sequence[str] | None = None,
    separator: str = "\t",
    quoted: bool = False,
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line, values of the wanted columns) of every row; empty lines are passed over.

    Without ``header`` the first line names the columns. Raises InvalidContent for a wanted column that isn't there, and
    for a row that ends before it.
    """
    rows = _rows(member, separator, quoted=quoted)
    if header is None:
        line, header = next(rows, (1, []))
        for name in wanted:
            if name not in header:
                refuse(member, line, name, f"missing; there are {', '.join(header) or 'none'}")
    places = [header.index(name) for name in wanted]
    # itemgetter of a single place gives no tuple.
    take = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
    for line, row in rows:
        try:
            yield line, take(row)
        except IndexError:
            refuse(member, line, header[len(row)], "missing")


def _rows(member: Member, separator: str, *, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    if quoted:
        return _split_quoted(member, separator)
    lines = enumerate(member.lines(), 1)
    return ((line, text.rstrip("\r\n").split(separator)) for line, text in lines if not text.isspace())


def _split_quoted(member: Member, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(member.lines(), delimiter=separator, strict=True)
    start = 1
    try:
        for row in reader:
            if row:
                yield start, row
            start = reader.line_num + 1
    except csv.Error as error:
        raise InvalidContent(f"{member.stem}, line {start}: {error}") from error


def read_header(member: Member, separator: str, *, quoted: bool) -> list[str]:
    """Return the names in the first line of a table."""
    return next(_rows(member, separator, quoted=quoted), (1, []))[1]
