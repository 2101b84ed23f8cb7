"""What an importer gives, and the files it reads: in a folder, in a zip archive, or a single one."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.files.write import Entry

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Import:
    """A code system on its way in: ``resource`` has url, version and what else describes it, but no concepts."""

    resource: Json
    entries: Iterable[Entry]


@dataclass(frozen=True, slots=True)
class Member:
    """A text file, perhaps inside a zip archive."""

    archive: Path | None
    name: str

    @property
    def stem(self) -> str:
        """The file's own name, without folders."""
        return re.split(r"[/\\]", self.name)[-1]

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.archive is None:
            with Path(self.name).open("rb") as file:
                yield file
        else:
            with zipfile.ZipFile(self.archive) as archive, archive.open(self.name) as file:
                yield file

    def lines(self, encoding: str = "utf-8-sig") -> Iterator[str]:
        """Yield the lines, ends included. Raises InvalidContent with the line's number when one isn't of the encoding."""
        try:
            with self._open() as file, TextIOWrapper(file, encoding, newline="\n") as text:
                yield from text
        except UnicodeDecodeError:
            raise InvalidContent(f"{self.stem}, line {self._undecodable(encoding)}: not {encoding[:5]} text") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InvalidContent(f"{self.stem}: the archive is damaged ({error})") from error
        except RuntimeError as error:  # encrypted, or compressed in a way that zipfile doesn't know
            raise InvalidContent(f"{self.stem}: {error}") from error

    def _undecodable(self, encoding: str) -> int:
        with self._open() as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError:
                    return number
        return 0


def list_members(path: Path) -> list[Member]:
    """Return the files of a folder or zip archive, or the file itself, sorted by name.

    Raises InvalidContent when there is nothing to read.
    """
    if path.is_dir():
        return [Member(None, str(file)) for file in sorted(path.rglob("*")) if file.is_file()]
    if not path.is_file():
        raise InvalidContent(f"{path}: there is no such file")
    if not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".zip":
            raise InvalidContent(f"{path}: not a zip archive, or a damaged one")
        return [Member(None, str(path))]
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    return [Member(path, name) for name in sorted(names)]


def choose(members: Iterable[Member], pattern: str) -> list[Member]:
    """Return the files whose own name matches a pattern, case aside."""
    wanted = re.compile(pattern, re.IGNORECASE)
    return [member for member in members if wanted.fullmatch(member.stem)]


def choose_one(members: Iterable[Member], pattern: str, path: Path, what: str) -> Member:
    """Return the one file that matches; raises InvalidContent when there is none, or several."""
    found = choose(members, pattern)
    if len(found) != 1:
        count = f"{len(found)} files" if found else "no file"
        raise InvalidContent(f"{path}: {count} of {what} ({pattern.replace(chr(92), '')})")
    return found[0]


def require_version(version: str | None, known: str | None, path: Path, example: str) -> str:
    """Return the version that was given or that the file names; raises InvalidContent when neither is there."""
    chosen = version or known
    if not chosen:
        raise InvalidContent(f"{path}: does not say of which version it is; give it as --version {example}")
    if "|" in chosen or chosen.strip() != chosen:
        raise InvalidContent(f"{chosen!r} can't be a version")
    return chosen


def describe(url: str, version: str, name: str, title: str, **more: Any) -> Json:
    """Return a CodeSystem resource of a whole, active code system without its concepts."""
    head = {"resourceType": "CodeSystem", "url": url, "version": version, "name": name, "title": title}
    return {**head, "status": "active", "caseSensitive": True, "content": "complete", **more}
