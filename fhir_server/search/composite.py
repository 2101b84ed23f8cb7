r"""Parameters of type composite, https://hl7.org/fhir/R4/search.html#combining: parts of one element, joined by ``$``.

A pair of codes in a repeating element is one token of both. A code with a quantity, number, date or string is a row of
the range table, under a number of its own for that code, so that the search for it reads nothing else. Two numbers are
one row, the first in ``low``, the second in ``high``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from conformance.fhirpath import compile_path
from fhir_server.search import date, number, quantity, reference, string, token
from fhir_server.search.composite_definition import Context, Part, Together, Tuples, contexts
from fhir_server.search.condition import AllOf, Condition, any_of, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.errors import Unsupported
from fhir_server.search.number import searched_range
from fhir_server.search.number_pair import ComparesPair
from fhir_server.search.parse import split, unescape
from fhir_server.search.registry import Parameter, SearchParameters
from fhir_server.search.slot import Extract, Slot, named_slot, slot
from fhir_server.store.entries import IndexEntries, NumberEntry
from fhir_server.store.hashing import derived_parameter, value_hash

Read = Callable[[dict[str, Any]], list[tuple[str, Any]]]
ConditionOf = Callable[[Parameter, Slot, str | None, Sequence[str], Environment], Condition]
CODED: Mapping[str, ConditionOf] = {"token": token.condition, "reference": reference.condition}
RANGED: Mapping[str, tuple[Extract, ConditionOf, Callable[[Slot], Condition]]] = {
    "quantity": (quantity.extract, quantity.condition, quantity.present),
    "number": (number.extract, number.condition, number.present),
    "date": (date.extract, date.condition, date.present),
    "string": (string.extract, string.condition, string.present),
}
# Hashes of plain texts; what a composite is about is mixed in afterwards.
_PLAIN = Slot(0, 0, 0, 0, {})


@dataclass(frozen=True, slots=True)
class Extraction:
    """Adds the entries of one element of a repeating context, called as an ``Extract``."""

    parts: tuple[Part, ...]

    def __call__(self, place: Slot, fhir_type: str, element: Any, entries: IndexEntries) -> None:
        """Add a token or rows for each combination; an element that lacks a part adds nothing."""
        found: list[IndexEntries] = []
        for part in reversed(self.parts):  # the last one, the value, is missing more often than the code
            values = IndexEntries()
            kind = part.parameter.type
            for type_name, value in compile_path(part.expression, fhir_type)(element):
                if kind in CODED:
                    _add_plain(part, type_name, value, values.tokens, entries)
                else:
                    RANGED[kind][0](_PLAIN, type_name, value, values)
            if not (values.tokens or values.numbers or values.dates or values.strings):
                return
            found.insert(0, values)
        entries.tokens.append(place.present)
        _combine(place, self.parts, found, entries)


def _add_plain(part: Part, type_name: str, value: Any, tokens: list[int], holder: IndexEntries) -> None:
    plain = replace(_PLAIN, systems=part.parameter.systems)
    if part.parameter.type == "token":
        token.add_codes(plain, type_name, value, tokens)
    else:
        reference.add_addresses(plain, type_name, value, tokens, holder)


def _combine(place: Slot, parts: Sequence[Part], found: Sequence[IndexEntries], entries: IndexEntries) -> None:
    ranged = [values for part, values in zip(parts, found, strict=True) if part.parameter.type not in CODED]
    codes = [dict.fromkeys(v.tokens) for part, v in zip(parts, found, strict=True) if part.parameter.type in CODED]
    if not codes:
        first, second = ranged
        for a, b in product(first.numbers, second.numbers):
            entries.numbers.append(NumberEntry(place.parameter, a.value, a.value, b.value, None, None, None))
        return
    for together in map(_joined, product(*codes)):
        if not ranged:
            entries.tokens.append(place.token(together))
            continue
        parameter = derived_parameter(place.parameter, together)
        entries.strings += [e._replace(parameter=parameter) for e in ranged[0].strings]
        entries.dates += [e._replace(parameter=parameter) for e in ranged[0].dates]
        entries.numbers += [e._replace(parameter=parameter) for e in ranged[0].numbers]
        entries.units += ranged[0].units


def _joined(hashes: Sequence[int]) -> str:
    return "$".join(map(str, hashes))


def inner_parts(context: Tuples) -> tuple[Part, ...]:
    """Return the components that are read of the context's elements."""
    return tuple(part for part in context.parts if isinstance(part, Part))


def is_supported(context: Context) -> bool:
    """Tell whether a context's components make entries: codes, codes and one range, or two numbers."""
    regular = context.parameters if isinstance(context, Together) else context.parts
    if not all(p.type in CODED or p.type in RANGED for p in regular if isinstance(p, Parameter)):
        return False
    if isinstance(context, Together):
        return True
    kinds = [part.parameter.type for part in inner_parts(context)]
    ranged = [kind for kind in kinds if kind not in CODED]
    if ranged == kinds:
        return ranged == ["number", "number"]
    return len(kinds) > 1 and len(ranged) <= 1 and all(kind in RANGED for kind in ranged)


def extractions(
    parameter: Parameter, tenant: int, parameters: SearchParameters
) -> Iterator[tuple[Tuples, Extraction, Slot]]:
    """Yield what indexing has to do for a composite parameter: contexts, the extraction from each, its place."""
    for context in contexts(parameter, parameters):
        if isinstance(context, Tuples) and is_supported(context):
            place = named_slot(tenant, parameter.resource_type, context.name)
            yield context, Extraction(inner_parts(context)), place


def _place(context: Tuples, parameter: Parameter, environment: Environment) -> Slot:
    return named_slot(environment.tenant, parameter.resource_type, context.name)


def condition(
    parameter: Parameter, _: Slot, __: str | None, values: Sequence[str], environment: Environment
) -> Condition:
    """Return what a search for combinations asks for. Raises ValueError for bad values, Unsupported for odd components."""
    found = _usable(parameter, environment)
    return any_of([_in_context(c, parameter, value, environment) for value in values for c in found])


def present(parameter: Parameter, environment: Environment) -> Condition:
    """Return the condition that all parts are there, in one element."""
    return any_of([_present(context, parameter, environment) for context in _usable(parameter, environment)])


def _usable(parameter: Parameter, environment: Environment) -> tuple[Context, ...]:
    found = contexts(parameter, environment.parameters)
    if not found or not all(is_supported(c) for c in found):
        raise Unsupported(f"The components of search parameter '{parameter.code}' can't be searched for together.")
    return found


def _in_context(context: Context, parameter: Parameter, value: str, environment: Environment) -> Condition:
    parts = split(value, "$")
    components = context.parameters if isinstance(context, Together) else context.parts
    if len(parts) != len(components) or not all(parts):
        raise ValueError(f"it takes {len(components)} parts joined by '$'")
    asked = list(zip(components, parts, strict=True))
    regular = [_compare(c, part, environment) for c, part in asked if isinstance(c, Parameter)]
    inner = [(c, part) for c, part in asked if isinstance(c, Part)]
    if isinstance(context, Tuples):
        regular.append(_of_element(_place(context, parameter, environment), inner, environment))
    return regular[0] if len(regular) == 1 else AllOf(tuple(regular))


def _compare(parameter: Parameter, text: str, environment: Environment) -> Condition:
    kind = parameter.type
    compare = CODED[kind] if kind in CODED else RANGED[kind][1]
    return compare(parameter, slot(environment.tenant, parameter), None, [text], environment)


def _has(parameter: Parameter, environment: Environment) -> Condition:
    place = slot(environment.tenant, parameter)
    return has_any((place.present,)) if parameter.type in CODED else RANGED[parameter.type][2](place)


def _of_element(place: Slot, asked: Sequence[tuple[Part, str]], environment: Environment) -> Condition:
    codes = [list(_hashes(part, text, environment)) for part, text in asked if part.parameter.type in CODED]
    ranged = [(part, text) for part, text in asked if part.parameter.type not in CODED]
    if not codes:
        first, second = (searched_range(unescape(text)) for _, text in ranged)
        return ComparesPair(place.parameter, *first, *second)
    joined = [_joined(hashes) for hashes in product(*codes)]
    if not ranged:
        return has_any(place.token(text) for text in joined)
    ((part, text),) = ranged
    compare = RANGED[part.parameter.type][1]
    places = [replace(place, parameter=derived_parameter(place.parameter, code)) for code in joined]
    return any_of([compare(part.parameter, own, None, [text], environment) for own in places])


def _hashes(part: Part, text: str, environment: Environment) -> Iterator[int]:
    if part.parameter.type == "reference":
        found = reference.searched(unescape(text), part.parameter.targets, None, environment.base_url)
        yield from map(value_hash, found)
        return
    yield from map(value_hash, token.searched_texts(text))


def _present(context: Context, parameter: Parameter, environment: Environment) -> Condition:
    if isinstance(context, Together):
        return AllOf(tuple(_has(p, environment) for p in context.parameters))
    regular = [_has(p, environment) for p in context.parts if isinstance(p, Parameter)]
    there = has_any((_place(context, parameter, environment).present,))
    return AllOf((*regular, there)) if regular else there
