"""Parameters of type token, https://hl7.org/fhir/R4/search.html#token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fhir_server.search import text
from fhir_server.search.carried import carries_any
from fhir_server.search.condition import Condition, Not, has_any
from fhir_server.search.environment import Asked, Environment
from fhir_server.search.errors import Unsupported
from fhir_server.search.parse import split, unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import ALONE, OF_TYPE, Slot
from fhir_server.store.entries import IndexEntries
from fhir_server.store.hashing import value_hash

# What a server of terminology answers, see ``terms``.
TERM_MODIFIERS = frozenset(("in", "not-in", "above", "below"))
MODIFIERS = frozenset(("not", "of-type", "ofType")) | TERM_MODIFIERS | text.MODIFIERS
_SPECIAL_VALUES = frozenset(
    ("http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values")
)


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add the tokens of a coded value, an identifier, a contact point or a plain primitive, and of the texts with it."""
    if fhir_type == "CodeableConcept":  # the most frequent one, in one pass
        for coding in value.get("coding", ()):
            add_pair(slot.salt, coding.get("system"), coding.get("code"), entries.tokens)
            if display := coding.get("display"):
                text.add_text(slot, display, entries)
        text.add_text(slot, value.get("text"), entries)
        return
    add_codes(slot, fhir_type, value, entries.tokens)
    match fhir_type:
        case "Coding":
            text.add_text(slot, value.get("display"), entries)
        case "Identifier":
            if kind := value.get("type"):
                _add_type(slot, kind, value.get("value"), entries)


def add_codes(slot: Slot, fhir_type: str, value: Any, tokens: list[int]) -> None:
    """Add the tokens that find a value by its code, and by its system alone."""
    match fhir_type:
        case "CodeableConcept":
            for coding in value.get("coding", ()):
                add_pair(slot.salt, coding.get("system"), coding.get("code"), tokens)
        case "Coding":
            add_pair(slot.salt, value.get("system"), value.get("code"), tokens)
        case "Identifier":
            add_pair(slot.salt, value.get("system"), value.get("value"), tokens)
        case "code":
            add_pair(slot.salt, slot.systems.get(value), value, tokens)
        case "boolean":
            tokens.append(slot.token("true" if value else "false"))
        case "ContactPoint":
            if contact := value.get("value"):
                tokens.append(slot.token(escape(contact)))
        case _ if isinstance(value, str):
            add_pair(slot.salt, None, value, tokens)


def wider(slot: Slot, fhir_type: str, _: Any, __: str) -> list[int]:
    """Return what finds a boolean by the system that all of them have, see ``slot.Wider``."""
    return [slot.token(f"{ALONE}{system}|") for system in _SPECIAL_VALUES] if fhir_type == "boolean" else []


def _add_type(slot: Slot, kind: dict[str, Any], value: str | None, entries: IndexEntries) -> None:
    """Add what finds an identifier by its type: its text, and each code of it together with the value."""
    text.add_text(slot, kind.get("text"), entries)
    for coding in kind.get("coding", ()) if value else ():
        if code := coding.get("code"):
            entries.tokens.append(slot.token(f"{OF_TYPE}{coding.get('system') or ''}|{escape(code)}|{value}"))


def add_pair(salt: int, system: str | None, code: str | None, tokens: list[int]) -> None:
    """Add what finds a code of a system: ``code``, ``system|code`` (``|code`` without a system), ``system|``."""
    if code:
        code = escape(code)
        tokens.append(salt ^ value_hash(code))
        tokens.append(salt ^ value_hash(f"{system or ''}|{code}"))
    if system:
        tokens.append(salt ^ value_hash(f"{system}|"))


def escape(code: str) -> str:
    """Return a code with its bars marked, so that it is never taken for a system and a code."""
    return code.replace("|", r"\|") if "|" in code else code


def condition(
    _: Parameter, place: Slot, modifier: str | None, values: Sequence[str], environment: Environment
) -> Condition:
    """Return what a search for codes asks for; ``:not`` and ``:not-in`` also find resources without any code.

    Raises ValueError for a bad value or what has no codes to offer, Unsupported where terminology can't be asked.
    """
    match modifier:
        case "text" | "code-text":
            return text.condition(place, values)
        case "of-type" | "ofType":
            return has_any(place.token(OF_TYPE + _searched_type(value)) for value in values)
        case "in" | "not-in" | "above" | "below":
            codes = (pair for value in values for pair in _codes(place, modifier, value, environment))
            found = carries_any([place.salt ^ value_hash(f"{system}|{escape(code)}") for system, code in codes])
            return Not(found) if modifier == "not-in" else found
    found = has_any(place.salt ^ value_hash(sought) for value in values for sought in searched_texts(value))
    return Not(found) if modifier == "not" else found


def searched_texts(value: str) -> Iterator[str]:
    """Yield the texts that a search value looks up: one, except that the system of booleans means both of them."""
    searched = searched_text(value)
    yield searched
    if searched.removesuffix("|") in _SPECIAL_VALUES:
        yield from ("true", "false")


def _searched_type(value: str) -> str:
    """Return what finds an identifier by ``system|code|value``."""
    system, *rest = (unescape(part) for part in split(value, "|"))
    if len(rest) != len(("code", "value")) or not all(rest):
        raise ValueError(
            "':of-type' takes system|code|value, of which the first two are those of the identifier's type"
        )
    code, identifier = rest
    return f"{system}|{escape(code)}|{identifier}"


def _codes(place: Slot, modifier: str, value: str, environment: Environment) -> Iterable[tuple[str, str]]:
    """Return the (system, code) pairs that a value set holds, or that are above or below a code."""
    answer = environment.terms.get(asked(modifier, value, place.systems))
    if answer is None:
        raise Unsupported(f"Modifier ':{modifier}' can't be used here, since no code systems are at hand.")
    if isinstance(answer, str):
        raise ValueError(answer)  # noqa: TRY004 - it is the search value that is wrong
    return answer


def asked(modifier: str, value: str, systems: Mapping[str, str] = MappingProxyType({})) -> Asked:
    """Return what a modifier asks about an escaped search value.

    ``systems`` gives those that codes without a system have by their required binding.
    """
    searched = searched_text(value) if modifier in ("above", "below") else unescape(value)
    if searched in systems:
        searched = f"{systems[searched]}|{searched}"
    return "in" if modifier == "not-in" else modifier, searched


def searched_text(value: str) -> str:
    """Return the text that an escaped search value (``code``, ``system|code``, ``|code``, ``system|``) looks up."""
    system, *rest = (unescape(part) for part in split(value, "|"))
    if not rest:
        return escape(system)
    code = escape("|".join(rest))
    # A boolean has this system by definition, and no place to say so.
    return code if system in _SPECIAL_VALUES and code in ("true", "false") else f"{system}|{code}"
