"""Formats and preferences, https://hl7.org/fhir/R4/http.html#mime-type and #ops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from fhir_server.errors import InvalidRequest, NotSupported

JSON = frozenset(("application/fhir+json", "application/json", "text/json", "json"))
ANY = frozenset(("*/*", "application/*"))
VERSIONS = ("4.0", "4.0.1")
# A quality of zero: not wanted at all.
REFUSED = re.compile(r"0(?:\.0*)?")
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
    if offered and not any(_is_acceptable(part) for part in offered):
        raise NotSupported(
            f"'{accept[:120]}' is not supported; ask for application/fhir+json, FHIR version 4.0.", status=406
        )


def _is_acceptable(part: str) -> bool:
    """Tell whether one media range takes JSON of this version of FHIR."""
    kind, _, parameters = part.partition(";")
    return (
        kind.strip().lower() in JSON | ANY
        and not REFUSED.fullmatch(_parameter(parameters, "q") or "1")
        and _parameter(parameters, "fhirversion") in (None, *VERSIONS)
    )


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether the client takes a gzip body (RFC 9110, Accept-Encoding)."""
    for part in accept_encoding.split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip().lower() in ("gzip", "x-gzip"):
            return not REFUSED.fullmatch(_parameter(parameters, "q") or "1")
    return False


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
    if version is not None and version not in VERSIONS:
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
