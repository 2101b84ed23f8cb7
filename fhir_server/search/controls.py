"""The parameters that shape the result, https://hl7.org/fhir/R4/search.html#return.

Given several times, ``_sort``, ``_include``, ``_revinclude``, ``_elements`` and ``_type`` add up; of the others the last counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

from conformance.definitions import resource_types
from fhir_server.search.bound import Include, Searched, SortKey, Total
from fhir_server.search.errors import Unsupported, invalid_value
from fhir_server.search.query import Criterion
from fhir_server.search.registry import SearchParameters
from fhir_server.search.sorting import MOST_KEYS, sort_key
from fhir_server.search.summary import SUMMARIES, View, make_view, parse_elements, unknown_elements

DEFAULT_COUNT = 20
MOST_COUNT = 1000
_LAST_COUNTS = frozenset(("_count", "_total", "_summary", "_cursor", "_contained", "_containedType"))
CONTROLS = _LAST_COUNTS | {
    "_sort", "_include", "_revinclude", "_elements", "_type", "_format", "_pretty", "_query", "_score",
}  # fmt: skip
# Those that say nothing about which resources come in which order.
INDECISIVE = CONTROLS - {"_sort", "_type", "_contained", "_containedType"}
_ITERATE = ("iterate", "recurse")
_TYPES = frozenset(resource_types())


@dataclass(slots=True)
class Controls:
    """What the result parameters seen so far ask for.

    ``together`` are all the types that are searched at once, of which ``resource_type`` is one.
    """

    resource_type: str
    parameters: SearchParameters
    together: tuple[str, ...] = ()
    sort: list[SortKey] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    count: int = DEFAULT_COUNT
    total: Total = "none"
    summary: str = "false"
    elements: frozenset[tuple[str | None, str]] = frozenset()
    cursor: str | None = None
    contained: Searched = "false"
    as_container: bool = True

    def apply(self, criterion: Criterion) -> None:
        """Take in one result parameter. Raises InvalidSearch for a bad value, Unsupported for what can't be done."""
        name, modifier, value = criterion.last.name, criterion.last.modifier, criterion.value
        including = name in ("_include", "_revinclude")
        if modifier is not None and not (including and modifier in _ITERATE):
            raise Unsupported(f"Modifier ':{modifier}' is not supported on '{name}'.")
        match name:
            case "_sort":
                self._add_sort(criterion)
            case "_count":
                self._set_count(value)
            case "_total":
                if value not in get_args(Total):
                    raise invalid_value(name, value, "it takes none, estimate or accurate")
                self.total = value  # type: ignore[assignment]
            case "_summary":
                if value not in SUMMARIES:
                    raise invalid_value(name, value, "it takes true, text, data, count or false")
                self.summary = value
            case "_elements":
                self._add_elements(value)
            case "_include" | "_revinclude":
                self.includes.append(self._include(criterion))
            case "_cursor":
                self.cursor = value
            case "_type":
                self._check_type()
            case "_contained" | "_containedType":
                self._set_contained(name, value)
            case "_query" | "_score":
                raise Unsupported(f"'{name}' is not supported.")

    @property
    def counting(self) -> Total:
        """How to count all matches; when nothing else is asked for, exactly."""
        return "accurate" if self.size == 0 and self.total == "none" else self.total

    @property
    def size(self) -> int:
        """How many matches a page holds."""
        return 0 if self.summary == "count" else self.count

    @property
    def view(self) -> View:
        """What of each resource to show. Raises InvalidSearch for what can't be asked for together."""
        if self.summary == "text" and self.includes:
            raise invalid_value("_summary", "text", "it can't be used with _include or _revinclude")
        shown = self.summary if self.summary in ("true", "text", "data") else None
        return make_view(shown, self.elements)  # type: ignore[arg-type]

    def _set_count(self, value: str) -> None:
        if not (value.isascii() and value.isdecimal() and len(value) < len(str(2**31))):
            raise invalid_value("_count", value, "it takes a whole number that is not negative")
        self.count = min(int(value), MOST_COUNT)

    def _add_sort(self, criterion: Criterion) -> None:
        keys = [sort_key(text.strip(), self.resource_type, self.parameters) for text in criterion.values]
        if len(self.sort) + len(keys) > MOST_KEYS:
            raise Unsupported(f"Sorting by more than {MOST_KEYS} keys is not supported.")
        self.sort += keys

    def _add_elements(self, value: str) -> None:
        elements = parse_elements(value)
        unknown = unknown_elements(elements, self.together or (self.resource_type,))
        if unknown:
            raise Unsupported(f"'_elements={value}': there is no element {', '.join(unknown)}.")
        self.elements |= elements

    def _set_contained(self, name: str, value: str) -> None:
        values = get_args(Searched) if name == "_contained" else ("container", "contained")
        if value not in values:
            raise invalid_value(name, value, f"it takes {', '.join(values)}")
        if self.together and value not in ("false", "container"):
            raise Unsupported(f"'{name}={value}' can't be used in a search on several types.")
        if name == "_contained":
            self.contained = value  # type: ignore[assignment]
        else:
            self.as_container = value == "container"

    def _check_type(self) -> None:
        if not self.together:
            raise Unsupported("'_type' has no effect where the URL names the type.")

    def _include(self, criterion: Criterion) -> Include:
        name, value = criterion.last.name, criterion.value
        reverse, iterate = name == "_revinclude", criterion.last.modifier is not None
        if value == "*":
            return Include(None, None, None, reverse, iterate)
        source, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        if source not in _TYPES or (target and target not in _TYPES):
            raise invalid_value(name, value, "it takes *, Type:parameter or Type:parameter:TargetType")
        parameter = self.parameters.of(source).get(code)
        if code != "*" and (parameter is None or parameter.type != "reference" or not parameter.indexed):
            raise Unsupported(f"'{name}={value}': {source} has no reference parameter '{code}' that can be used.")
        matched = self.together or (self.resource_type,)
        if not iterate and not reverse and source not in matched:
            raise Unsupported(f"'{name}={value}' has no effect on a search for {_some(matched)}.")
        if not iterate and reverse and target and target not in matched:
            raise Unsupported(f"'{name}={value}' has no effect on a search for {_some(matched)}.")
        return Include(source, parameter if code != "*" else None, target or None, reverse, iterate)


def _some(matched: Iterable[str]) -> str:
    first, *others = matched
    return f"{first} and {len(others)} other types" if others else first


def effective(used: Iterable[Criterion]) -> list[Criterion]:
    """Return the criteria that had effect: of a control that can be given once, the last one."""
    kept = list(used)
    last = {criterion.last.name: number for number, criterion in enumerate(kept)}
    return [
        criterion
        for number, criterion in enumerate(kept)
        if criterion.last.name not in _LAST_COUNTS or last[criterion.last.name] == number
    ]
