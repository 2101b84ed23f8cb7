"""Where a load reads from: JSON, NDJSON, folders, ``.gz``, ``.tar.gz``/``.tgz``, ``.tar`` and ``.zip``, streamed.

Memory is bounded by the largest single JSON document or NDJSON line: https://hl7.org/fhir/R4/nd-json.html.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fhir_server.jobs.load_units import NotFhirError, Unit, UnloadableError, units_of

MAX_DOCUMENT_BYTES = 1 << 30
_LINES = (".ndjson", ".jsonl")
_DOCUMENTS = (".json",)
_ARCHIVES = (".tgz", ".tar.gz", ".tar", ".zip")
# FHIR packages keep their definitions in ``package/``, all else (examples, openapi, other) in folders below it:
# https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
_PACKAGE_FOLDER = re.compile(r"(?:\./)?package/[^/]+/")
_READ_ERRORS = (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place in the input that yields no unit, and why. ``skipped``: it isn't FHIR and wasn't asked for by name."""

    source: str
    reason: str
    skipped: bool = False


Found = Unit | Unreadable
OnBytes = Callable[[int], None]


def total_bytes(paths: list[Path]) -> int:
    """Return the size of all files that would be read."""
    return sum(file.stat().st_size for path in paths for file, _ in _files(path) if file.is_file())


def read_units(paths: list[Path], on_bytes: OnBytes = lambda _: None) -> Iterator[Found]:
    """Yield every unit of the paths, always in the same order; ``on_bytes`` is told how many bytes are read so far."""
    done = 0
    for path in paths:
        for file, named in _files(path):
            try:
                with file.open("rb") as stream:
                    for found in _read_file(stream, file, named):
                        on_bytes(done + stream.tell())
                        yield found
                done += file.stat().st_size
                on_bytes(done)
            except _READ_ERRORS as error:
                yield Unreadable(str(file), f"can't be read: {error}")


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield (file, whether it was asked for by name)."""
    if not path.is_dir():
        yield path, True
        return
    for file in sorted(path.rglob("*")):
        if file.is_file() and _known(file.name):
            yield file, False


def _plain(name: str) -> str:
    return name.lower().removesuffix(".gz")


def _known(name: str) -> bool:
    lowered = name.lower()
    return lowered.endswith(_ARCHIVES) or _plain(name).endswith((*_LINES, *_DOCUMENTS))


def _read_file(stream: IO[bytes], file: Path, named: bool) -> Iterator[Found]:
    lowered = file.name.lower()
    if lowered.endswith(".zip"):
        yield from _read_zip(stream, file)
    elif lowered.endswith(_ARCHIVES):
        yield from _read_tar(stream, file)
    elif not _known(file.name):
        yield Unreadable(str(file), "its name ends in none of .json, .ndjson, .jsonl, .gz, .tgz, .tar, .zip")
    else:
        yield from _read_member(stream, file.name, str(file), named)


def _read_zip(stream: IO[bytes], file: Path) -> Iterator[Found]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if not info.is_dir() and _known(info.filename):
                with archive.open(info) as member:
                    yield from _read_member(member, info.filename, f"{file}!{info.filename}", named=False)


def _read_tar(stream: IO[bytes], file: Path) -> Iterator[Found]:
    # The stream mode reads forward only, so an archive of any size needs no more memory than its largest member.
    left_out: Counter[str] = Counter()
    with tarfile.open(fileobj=stream, mode="r|*") as archive:
        for info in archive:
            inner = _PACKAGE_FOLDER.match(info.name)
            if inner and info.isfile():
                left_out[inner[0]] += 1
                continue
            member = archive.extractfile(info) if info.isfile() and _known(info.name) else None
            if member is not None:
                yield from _read_member(member, info.name, f"{file}!{info.name}", named=False)
    for folder, count in left_out.items():
        yield Unreadable(
            f"{file}!{folder}", f"{count} files that are not part of the package's definitions", skipped=True
        )


def _read_member(stream: IO[bytes], name: str, source: str, named: bool) -> Iterator[Found]:
    if name.lower().endswith(_ARCHIVES):
        yield Unreadable(source, "an archive inside an archive is not read", skipped=True)
        return
    plain: IO[bytes] = gzip.GzipFile(fileobj=stream) if name.lower().endswith(".gz") else stream  # type: ignore[assignment]
    if _plain(name).endswith(_LINES):
        yield from _read_lines(plain, source)
        return
    content = plain.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        yield Unreadable(source, f"larger than {MAX_DOCUMENT_BYTES >> 20} MiB: split it or use NDJSON")
        return
    yield from _units(content, source, named)


def _read_lines(stream: IO[bytes], source: str) -> Iterator[Found]:
    number = 0
    while line := stream.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        if len(line) > MAX_DOCUMENT_BYTES:
            yield Unreadable(f"{source}:{number}", f"a line larger than {MAX_DOCUMENT_BYTES >> 20} MiB")
            return
        if line.strip():
            yield from _units(line, f"{source}:{number}", named=True)


def _units(content: bytes, source: str, named: bool) -> Iterator[Found]:
    try:
        yield from units_of(content, source)
    except NotFhirError as error:
        yield Unreadable(source, str(error), skipped=not named)
    except UnloadableError as error:
        yield Unreadable(source, str(error))
