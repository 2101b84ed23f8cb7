"""Formats and preferences, https://hl7.org/fhir/R4/http.html#mime-type and #ops."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from conformance.patch import MEDIA_TYPES as PATCH_TYPES
from fhir_server.errors import InvalidRequest, NotSupported

Format = Literal["json", "xml", "ndjson"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "application/fhir+json": "json",
        "application/json": "json",
        "text/json": "json",
        "json": "json",
        "application/fhir+xml": "xml",
        "application/xml": "xml",
        "text/xml": "xml",
        "xml": "xml",
        "application/fhir+ndjson": "ndjson",
        "application/ndjson": "ndjson",
        "application/x-ndjson": "ndjson",
        "ndjson": "ndjson",
    }
)
"""The media types, and short names of ``_format``, of each format."""

JSON_ACCEPTED = frozenset(("", "*/*", "application/fhir+json", "application/json"))
"""What Accept says nearly always, so that it is known without a look inside."""

PREFERENCE: tuple[Format, ...] = ("json", "xml", "ndjson")
"""Which format is written where the client likes several equally well."""

OFFERED = "application/fhir+json or application/fhir+xml, FHIR version 4.0"
# What a wildcard stands for: NDJSON is only written for who names it.
WILDCARDS: Mapping[str, tuple[Format, ...]] = MappingProxyType(
    {"*/*": ("json", "xml"), "application/*": ("json", "xml"), "text/*": ("json", "xml")}
)
VERSIONS = ("4.0", "4.0.1")
QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
# A quality of zero: not wanted at all.
REFUSED = re.compile(r"0(?:\.0*)?")
FORM = "application/x-www-form-urlencoded"

Return = Literal["minimal", "representation", "OperationOutcome"]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What ``Prefer`` asks for; ``later`` is respond-async."""

    returns: Return = "representation"
    explicit: bool = False
    strict: bool = False
    later: bool = False


def media_type(header: str) -> str:
    """Return a media type without its parameters, in lower case."""
    return header.partition(";")[0].strip().lower()


def choose_format(query: Sequence[tuple[str, str]], accept: str, *, lines: bool = False) -> Format:
    """Return the format to answer in: what ``_format`` says, else what Accept likes best, else JSON.

    ``lines`` tells that the answer may be written as NDJSON. Raises NotSupported (406) when nothing fits.
    """
    if query and (asked := _asked_format(query)) is not None:
        if asked == "ndjson" and not lines:
            raise NotSupported("NDJSON is a format for searches and histories; ask for json or xml.", status=406)
        return asked
    if accept in JSON_ACCEPTED:
        return "json"
    for chosen in _rank(accept):
        if lines or chosen != "ndjson":
            return chosen
    raise NotSupported(f"'{accept[:120]}' is not supported; ask for {OFFERED}.", status=406)


def _asked_format(query: Sequence[tuple[str, str]]) -> Format | None:
    """Return what ``_format`` asks for; None where it doesn't occur."""
    asked: Format | None = None
    for name, value in query:
        if name == "_format":
            # A "+" in a query string arrives as a space.
            asked = FORMATS.get(media_type(value.replace(" ", "+")))
            if asked is None:
                raise NotSupported(f"_format '{value[:80]}' is not supported; ask for json or xml.", status=406)
    return asked


@lru_cache(maxsize=256)
def _rank(accept: str) -> tuple[Format, ...]:
    """Return the formats that a header takes, best first (RFC 9110, 12.5.1).

    A format's quality is the best of those that name it, else that of a wildcard. Among equals a named one goes first.
    """
    ranges = [part for part in accept.split(",") if part.strip()]
    if not ranges:  # RFC 9110: an empty list is no wish
        return ("json",)
    named: dict[Format, float] = {}
    wild: dict[Format, float] = {}
    for part in ranges:
        kind, _, parameters = part.partition(";")
        kind = kind.strip().lower()
        if _parameter(parameters, "fhirversion") in (None, *VERSIONS):
            quality = _quality(parameters)
            # A short name is for _format only.
            if "/" in kind and (name := FORMATS.get(kind)) is not None:
                named[name] = max(quality, named.get(name, 0.0))
            for name in WILDCARDS.get(kind, ()):
                wild[name] = max(quality, wild.get(name, 0.0))
    qualities = {**wild, **named}
    taken = [name for name in PREFERENCE if qualities.get(name, 0.0) > 0]
    return tuple(sorted(taken, key=lambda name: (-qualities[name], name not in named)))


def _quality(parameters: str) -> float:
    """Return the weight of a media range, 0 to 1; one that can't be read counts as none given."""
    text = _parameter(parameters, "q")
    return float(text) if text is not None and QUALITY.fullmatch(text) else 1.0


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


@lru_cache(maxsize=256)
def check_content_type(header: str) -> Format:
    """Return the format of a resource in a body; raises NotSupported (415) unless it is JSON or XML in UTF-8."""
    format_ = FORMATS.get(media_type(header))
    if format_ == "ndjson":
        raise NotSupported(
            "FHIR R4 gives NDJSON in a request no meaning; send a batch or transaction Bundle instead.", status=415
        )
    if format_ is None:
        raise NotSupported(
            f"'{header[:120]}' is not supported; send application/fhir+json or application/fhir+xml.", status=415
        )
    _check_parameters(header)
    return format_


@lru_cache(maxsize=256)
def check_patch_type(header: str) -> None:
    """Raise NotSupported (415) unless the body is a patch in UTF-8."""
    if media_type(header) not in PATCH_TYPES:
        raise NotSupported(f"'{header[:120]}' is no format of patches here; send {', '.join(PATCH_TYPES)}.", status=415)
    _check_parameters(header)


def _check_parameters(header: str) -> None:
    """Raise NotSupported (415) unless charset and fhirVersion, where given, are the server's."""
    parameters = header.partition(";")[2]
    charset = _parameter(parameters, "charset")
    if charset is not None and charset.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise NotSupported(f"The charset {charset[:40]} is not supported; send UTF-8.", status=415)
    version = _parameter(parameters, "fhirversion")
    if version is not None and version not in VERSIONS:
        raise NotSupported(f"FHIR version {version[:20]} is not supported, only 4.0.", status=415)


@lru_cache(maxsize=256)
def parse_prefer(header: str) -> Preferences:
    """Parse ``Prefer``; preferences this server does not know are ignored, as RFC 7240 has it."""
    returns: Return = "representation"
    explicit, strict, later = False, False, False
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
        elif name == "respond-async":
            later = True
    return Preferences(returns, explicit, strict, later)
