"""References and URIs, https://hl7.org/fhir/R4/search.html#reference and #uri."""

from __future__ import annotations

import re
from typing import Any

from tests.search.oracle.tokens import Token, matches
from tests.search.oracle.written import unescape

_LOCAL = re.compile(r"([A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def target(value: Any) -> str | None:
    """Return what a Reference, canonical or uri points to, as it stands."""
    return value.get("reference") if isinstance(value, dict) else value


def local(value: Any, base_url: str) -> str | None:
    """Return ``Type/id`` of a reference to a resource of this server, whatever its version."""
    text = target(value)
    if text is None:
        return None
    found = _LOCAL.fullmatch(text.removeprefix(base_url + "/"))
    return found[1] if found else None


def holds(value: Any, modifier: str | None, text: str, base_url: str) -> bool:
    """Tell whether one value fulfils one search value: an id, ``Type/id`` or URL; ``modifier`` may be a type."""
    if modifier == "identifier":
        identifier = value.get("identifier", {}) if isinstance(value, dict) else {}
        return matches(Token(identifier.get("system"), identifier.get("value")), text) if identifier else False
    searched = unescape(text)
    there = local(value, base_url)
    if there is not None and modifier not in (None, there.partition("/")[0]):
        return False
    if _ID.fullmatch(searched):
        return there is not None and there.partition("/")[2] == searched
    wanted = local(searched, base_url)
    if wanted is not None:
        return there == wanted
    return target(value) is not None and _same_canonical(str(target(value)), searched)


def _same_canonical(has: str, searched: str) -> bool:
    """Compare URLs; one that is searched without version finds all versions."""
    return has == searched or has.partition("|")[0] == searched


def uri_holds(fhir_type: str, value: str, modifier: str | None, text: str) -> bool:
    """Tell whether one URI fulfils one search value: exactly, or above or below it by path segments."""
    searched = unescape(text)
    if value == searched:
        return True
    without_version = value.partition("|")[0] if fhir_type == "canonical" else value
    match modifier:
        case "below":
            return _is_below(without_version, searched)
        case "above":
            return _is_below(searched, without_version)
        case _:
            return without_version == searched


def _is_below(lower: str, upper: str) -> bool:
    return lower == upper or lower.startswith(upper.removesuffix("/") + "/")
