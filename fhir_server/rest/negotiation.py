"""Formats and preferences, https://hl7.org/fhir/R4/http.html#mime-type and #ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fhir_server.errors import InvalidRequest, NotSupported

JSON = frozenset(("application/fhir+json", "application/json", "text/json", "json"))
ANY = frozenset(("*/*", "application/*"))
FORM = "application/x-www-form-urlencoded"

Return = Literal["minimal", "representation", "OperationOutcome"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What ``Prefer`` asks for."""

    returns: Return = "representation"
    explicit: bool = False
    strict: bool = False


def media_type(header: str) -> str:
    """Return a media type without its parameters, in lower case."""
    return header.partition(";")[0].strip().lower()


@lru_cache(maxsize=256)
def check_accept(accept: str) -> None:
    """Raise NotSupported (406) unless JSON is among what the client takes."""
    offered = [part for part in accept.split(",") if part.strip()]
    for part in offered:
        kind, _, parameters = part.partition(";")
        if kind.strip().lower() in JSON | ANY and "q=0" not in parameters.replace(" ", "").split(";"):
            version = _parameter(parameters, "fhirversion")
            if version is not None and version not in ("4.0", "4.0.1"):
                raise NotSupported(f"FHIR version {version[:20]} is not supported, only 4.0.", status=406)
            return
    if offered:
        raise NotSupported(f"'{accept[:120]}' is not supported; ask for application/fhir+json.", status=406)


def _parameter(parameters: str, name: str) -> str | None:
    for item in parameters.split(";"):
        key, _, value = item.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"')
    return None


def check_format(query: Sequence[tuple[str, str]]) -> bool:
    """Check ``_format``, which goes before Accept; tell whether it was given."""
    formats = [value for name, value in query if name == "_format"]
    for value in formats:
        # A "+" in a query string arrives as a space.
        if media_type(value.replace(" ", "+")) not in JSON:
            raise NotSupported(f"_format '{value[:80]}' is not supported; ask for json.", status=406)
    return bool(formats)


@lru_cache(maxsize=256)
def check_content_type(header: str) -> None:
    """Raise NotSupported (415) unless the body is JSON in UTF-8."""
    if media_type(header) not in JSON:
        raise NotSupported(f"'{header[:120]}' is not supported; send application/fhir+json.", status=415)
    charset = _parameter(header.partition(";")[2], "charset")
    if charset is not None and charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise NotSupported(f"The charset {charset[:40]} is not supported; send UTF-8.", status=415)
    version = _parameter(header.partition(";")[2], "fhirversion")
    if version is not None and version not in ("4.0", "4.0.1"):
        raise NotSupported(f"FHIR version {version[:20]} is not supported, only 4.0.", status=415)


@lru_cache(maxsize=256)
def parse_prefer(header: str) -> Preferences:
    """Parse ``Prefer``; preferences this server does not know are ignored, as RFC 7240 has it."""
    returns: Return = "representation"
    explicit, strict = False, False
    for item in header.replace(";", ",").split(","):
        name, _, value = item.partition("=")
        name, value = name.strip().lower(), value.strip().strip('"')
        if name == "return":
            match value.lower():
                case "minimal":
                    returns, explicit = "minimal", True
                case "representation":
                    returns, explicit = "representation", True
                case "operationoutcome":
                    returns, explicit = "OperationOutcome", True
                case _:
                    raise InvalidRequest(f"Prefer: return={value[:40]} is not known.", code="value")
        elif name == "handling":
            if value.lower() not in ("strict", "lenient"):
                raise InvalidRequest(f"Prefer: handling={value[:40]} is not known.", code="value")
            strict = value.lower() == "strict"
    return Preferences(returns, explicit, strict)
