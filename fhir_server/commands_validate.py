"""``praxis validate``: files against FHIR R4 and profiles, without a server, https://hl7.org/fhir/R4/validation.html."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.decode import encode
from conformance.issues import Issue
from conformance.packages import InvalidPackage, read_package
from conformance.terminology.source import Resources
from conformance.validation import Validator, has_errors
from fhir_server.errors import InvalidRequest
from fhir_server.interactions.failures import outcome
from fhir_server.search.definitions import Find, find_built_in

_LINES = ".ndjson"


@dataclass(frozen=True, slots=True)
class Judged:
    """A resource of a file: the file's name, the line of one in NDJSON (else None), and what was found."""

    file: str
    line: int | None
    issues: list[Issue]

    @property
    def valid(self) -> bool:
        """Whether there are no errors."""
        return not has_errors(self.issues)

    def as_text(self) -> Iterator[str]:
        """Yield a line for each issue, as compilers write them; one line if there is none."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        if not self.issues:
            yield f"{where}: valid"
        for issue in self.issues:
            line = issue.line if issue.line is not None else self.line
            place = "" if line is None else f":{line}"
            column = "" if issue.column is None else f":{issue.column}"
            about = f" [{issue.expression}]" if issue.expression else ""
            message = " ".join(issue.diagnostics.split())
            yield f"{self.file}{place}{column}: {issue.severity}: {message} ({issue.code}){about}"

    def as_json(self) -> dict[str, Any]:
        """Return the file, the line in NDJSON, whether the resource is valid, and the OperationOutcome."""
        told = self.issues or [Issue("information", "informational", "No issues were found.")]
        line = {} if self.line is None else {"line": self.line}
        return {"file": self.file, **line, "valid": self.valid, "outcome": outcome(told)}


def read_definitions(packages: Sequence[Path]) -> Find:
    """Return a ``find`` of what packages (.tgz) define, with FHIR's own behind. Raises InvalidRequest for one that is none."""
    found = []
    for path in packages:
        try:
            with path.open("rb") as file:
                found += [definition.resource for definition in read_package(file).definitions]
        except OSError as error:
            raise InvalidRequest(f"{path}: {error.strerror}") from error
        except InvalidPackage as error:
            raise InvalidRequest(f"{path}: {error}") from error
    own = Resources(found)

    def find(resource_type: str, canonical: str) -> Any:
        return own.find(resource_type, canonical) or find_built_in(resource_type, canonical)

    return find


def validate_files(files: Sequence[Path], profiles: Sequence[str], packages: Sequence[Path]) -> Iterator[Judged]:
    """Yield each resource of the files as it is judged: JSON, XML, NDJSON line by line, ``-`` for standard input.

    Raises InvalidRequest for a file or package that can't be read, and for a profile that isn't known.
    """
    find = read_definitions(packages)
    validator = Validator(find)
    for profile in profiles:
        if find("StructureDefinition", profile.partition("#")[0]) is None:
            raise InvalidRequest(f"The profile {profile} is not known; name the --package that has it")
    for path in files:
        body, name = _read(path), str(path)
        if path.suffix == _LINES:
            yield from _judge_lines(validator, name, body, profiles)
        else:
            yield Judged(name, None, validator.validate_text(body, profiles=profiles))


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from error


def _judge_lines(validator: Validator, name: str, body: bytes, profiles: Sequence[str]) -> Iterator[Judged]:
    for number, line in enumerate(body.splitlines(), 1):
        if line.strip():
            issues = validator.validate_text(line, profiles=profiles)
            yield Judged(name, number, [replace(i, line=number) if i.line is not None else i for i in issues])


def as_json(judged: Sequence[Judged]) -> str:
    """Return all that was judged as a JSON array."""
    return encode([one.as_json() for one in judged]).decode()
