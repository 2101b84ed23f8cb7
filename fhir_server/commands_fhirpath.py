"""``praxis fhirpath``: evaluates an expression on a resource in a file, https://hl7.org/fhir/R4/fhirpath.html."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import typer

from conformance.decode import encode
from conformance.fhirpath import FHIRPathError, Hooks, Quantity, Temporal, evaluate
from conformance.issues import InvalidResource
from conformance.xml import from_xml
from fhir_server.errors import InvalidRequest

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def read_resource(path: Path) -> dict[str, Any]:
    """Return the resource in a JSON or XML file, ``-`` for standard input; raises InvalidRequest when there is none."""
    try:
        body = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path}: {error.strerror}") from error
    try:
        found = from_xml(body) if body.lstrip()[:1] == b"<" else _decode(body)
    except (msgspec.DecodeError, InvalidResource, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{path}: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise InvalidRequest(f"{path} holds no JSON object")
    return found


def evaluate_file(expression: str, path: Path) -> Iterator[str]:
    """Yield each result as a line of JSON; what trace() shows goes to standard error. Raises InvalidRequest."""
    resource = read_resource(path)
    try:
        found = evaluate(expression, resource, hooks=Hooks(trace=_show))
    except FHIRPathError as error:
        raise InvalidRequest(str(error)) from error
    for value in found:
        yield _line(value)


def _line(value: Any) -> str:
    return encode(str(value) if isinstance(value, Temporal | Quantity) else value).decode()


def _show(name: str, values: list[Any]) -> None:
    typer.echo(f"{name}: {' '.join(map(_line, values))}", err=True)
