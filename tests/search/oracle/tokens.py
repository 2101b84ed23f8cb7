"""Tokens, https://hl7.org/fhir/R4/search.html#token.

Latitude taken as the server does: codes are compared with their case ("servers SHOULD treat tokens in a
case-insensitive manner" when in doubt).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from conformance.definitions import Element, SearchParameter, types, value_sets
from tests.search.oracle.strings import plain
from tests.search.oracle.terminology import Terminology
from tests.search.oracle.written import split, unescape

SPECIAL_VALUES = "http://terminology.hl7.org/CodeSystem/special-values"


class Token(NamedTuple):
    """A code with its system; None where there is none."""

    system: str | None
    code: str | None


def tokens(fhir_type: str, value: Any, implied: str | None) -> list[Token]:
    """Return the codes of one value of a resource. ``implied`` is the system that a code's binding gives."""
    match fhir_type:
        case "CodeableConcept":
            return [Token(c.get("system"), c.get("code")) for c in value.get("coding", ())]
        case "Coding":
            return [Token(value.get("system"), value.get("code"))]
        case "Identifier":
            return [Token(value.get("system"), value.get("value"))]
        case "ContactPoint":
            return [Token(None, value.get("value"))]
        case "boolean":
            return [Token(SPECIAL_VALUES, "true" if value else "false")]
        case "code":
            return [Token(implied, value)]
        case _:
            return [Token(None, value)] if isinstance(value, str) else []


def texts(fhir_type: str, value: Any) -> list[str]:
    """Return the texts that go with a value: "either CodeableConcept.text, Coding.display, or Identifier.type.text"."""
    match fhir_type:
        case "CodeableConcept":
            found = [value.get("text"), *(c.get("display") for c in value.get("coding", ()))]
        case "Coding":
            found = [value.get("display")]
        case "Identifier":
            found = [value.get("type", {}).get("text")]
        case _:
            found = []
    return [text for text in found if text]


def holds(
    fhir_type: str, value: Any, modifier: str | None, text: str, implied: str | None, terminology: Terminology
) -> bool:
    """Tell whether one value of a resource fulfils one search value, still escaped. ``:not`` is its caller's."""
    found = tokens(fhir_type, value, implied)
    match modifier:
        case "text" | "code-text":
            return any(plain(t).startswith(plain(unescape(text))) for t in texts(fhir_type, value))
        case "in" | "not-in":
            codes = terminology.expand(unescape(text))
            return any((token.system, token.code) in codes for token in found)
        case "above" | "below":
            system, code = (unescape(part) for part in split(text, "|"))
            related = terminology.above(system, code) if modifier == "above" else terminology.below(system, code)
            return any(token.system == system and token.code in related for token in found)
        case "of-type":
            system, code, number = (unescape(part) for part in split(text, "|"))
            typed = value.get("type", {}).get("coding", ()) if fhir_type == "Identifier" else ()
            same = any(c.get("system") == system and c.get("code") == code for c in typed)
            return same and value.get("value") == number
        case _:
            return any(matches(token, text) for token in found)


def matches(token: Token, text: str) -> bool:
    """Compare with ``code``, ``system|code``, ``|code`` (no system) or ``system|`` (any code)."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return token.code == parts[0]
    system, code = parts
    return token.system == (system or None) and code in ("", token.code)


def implied_system(resource_type: str, parameter: SearchParameter, code: str) -> str | None:
    """Return the system of a plain code: the one of the required binding of the element that the parameter reads."""
    return _implied_system(resource_type, parameter.expression or "", code)


@cache
def _implied_system(resource_type: str, expression: str, code: str) -> str | None:
    found = {
        system
        for branch in expression.split("|")
        if (element := _element(branch.strip(), resource_type)) and element.required
        for system, known in value_sets().get(element.required, ())
        if known == code
    }
    return found.pop() if len(found) == 1 else None


def _element(path: str, resource_type: str) -> Element | None:
    root, *names = path.split(".")
    element: Element | None = None
    kind = resource_type
    for name in names if root == resource_type else ():
        element = types()[kind].elements.get(name) if kind in types() else None
        if element is None:
            return None
        kind = element.types[0]
    return element
