"""Parameters of type token, https://hl7.org/fhir/R4/search.html#token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.search.condition import Condition, Not, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.parse import split, unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash

MODIFIERS = frozenset(("not",))
_SPECIAL_VALUES = frozenset(
    ("http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values")
)


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add the tokens of a coded value, an identifier, a contact point or a plain primitive."""
    match fhir_type:
        case "CodeableConcept":
            for coding in value.get("coding", ()):
                add_pair(slot.salt, coding.get("system"), coding.get("code"), entries.tokens)
        case "Coding":
            add_pair(slot.salt, value.get("system"), value.get("code"), entries.tokens)
        case "Identifier":
            add_pair(slot.salt, value.get("system"), value.get("value"), entries.tokens)
        case "code":
            add_pair(slot.salt, slot.systems.get(value), value, entries.tokens)
        case "boolean":
            entries.tokens.append(slot.token("true" if value else "false"))
        case "ContactPoint":
            if contact := value.get("value"):
                entries.tokens.append(slot.token(escape(contact)))
        case _ if isinstance(value, str):
            entries.tokens.append(slot.token(escape(value)))


def add_pair(salt: int, system: str | None, code: str | None, tokens: list[int]) -> None:
    """Add what finds a code of a system: ``code``, ``system|code`` (``|code`` without a system) and ``system|``."""
    if code:
        code = escape(code)
        tokens.append(salt ^ value_hash(code))
        tokens.append(salt ^ value_hash(f"{system or ''}|{code}"))
    if system:
        tokens.append(salt ^ value_hash(f"{system}|"))


def escape(code: str) -> str:
    """Return a code with its bars marked, so that it is never taken for a system and a code."""
    return code.replace("|", r"\|") if "|" in code else code


def condition(_: Parameter, place: Slot, modifier: str | None, values: Sequence[str], __: Environment) -> Condition:
    """Return what a search for codes asks for; ``:not`` also finds resources without any code."""
    found = has_any(place.salt ^ value_hash(searched_text(value)) for value in values)
    return Not(found) if modifier == "not" else found


def searched_text(value: str) -> str:
    """Return the text that an escaped search value (``code``, ``system|code``, ``|code``, ``system|``) looks up."""
    system, *rest = (unescape(part) for part in split(value, "|"))
    if not rest:
        return escape(system)
    code = escape("|".join(rest))
    # A boolean has this system by definition, and no place to say so.
    return code if system in _SPECIAL_VALUES and code in ("true", "false") else f"{system}|{code}"
