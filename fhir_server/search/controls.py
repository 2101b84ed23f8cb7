"""The parameters that shape the result, https://hl7.org/fhir/R4/search.html#return."""

from __future__ import annotations

from dataclasses import dataclass, field

from conformance.definitions import resource_types
from fhir_server.search.bound import Include, SortKey
from fhir_server.search.errors import Unsupported, invalid_value
from fhir_server.search.kinds import KINDS
from fhir_server.search.query import Criterion
from fhir_server.search.registry import SearchParameters

DEFAULT_COUNT = 20
MOST_COUNT = 1000
CONTROLS = frozenset(
    ("_sort", "_count", "_total", "_summary", "_include", "_revinclude", "_cursor", "_format", "_pretty")
)
# Those that say nothing about which resources come in which order.
INDECISIVE = CONTROLS - {"_sort"}
_TYPES = frozenset(resource_types())


@dataclass(slots=True)
class Controls:
    """What the result parameters seen so far ask for."""

    resource_type: str
    parameters: SearchParameters
    sort: list[SortKey] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    count: int = DEFAULT_COUNT
    total: bool = False
    cursor: str | None = None

    def apply(self, criterion: Criterion) -> None:
        """Take in one result parameter. Raises InvalidSearch for a bad value, Unsupported for what can't be done."""
        modifier = criterion.last.modifier
        if modifier is not None:
            raise Unsupported(f"Modifier ':{modifier}' is not supported on '{criterion.last.name}'.")
        match criterion.last.name:
            case "_sort":
                self.sort = self._sort_keys(criterion)
            case "_count":
                self._set_count(criterion)
            case "_total":
                self._set_total(criterion)
            case "_summary":
                self._set_summary(criterion)
            case "_include" | "_revinclude":
                self.includes.append(self._include(criterion))
            case "_cursor":
                self.cursor = criterion.value

    def _set_count(self, criterion: Criterion) -> None:
        if not (criterion.value.isascii() and criterion.value.isdecimal() and len(criterion.value) < len(str(2**31))):
            raise invalid_value("_count", criterion.value, "it takes a whole number that is not negative")
        self.count = min(int(criterion.value), MOST_COUNT)
        self.total = self.total or self.count == 0

    def _set_total(self, criterion: Criterion) -> None:
        if criterion.value not in ("none", "accurate", "estimate"):
            raise invalid_value("_total", criterion.value, "it takes none, estimate or accurate")
        self.total = criterion.value != "none"  # the exact number is a good estimate

    def _set_summary(self, criterion: Criterion) -> None:
        match criterion.value:
            case "count":
                self.count, self.total = 0, True
            case "true" | "text" | "data":
                raise Unsupported(f"'_summary={criterion.value}' is not supported yet.")
            case value if value != "false":
                raise invalid_value("_summary", value, "it takes true, text, data, count or false")

    def _sort_keys(self, criterion: Criterion) -> list[SortKey]:
        known = self.parameters.of(self.resource_type)
        keys = []
        for text in criterion.values:
            descending, code = text.startswith("-"), text.removeprefix("-")
            if code == "_id":
                keys.append(SortKey("id", None, descending))
            elif code == "_lastUpdated":
                keys.append(SortKey("last_updated", None, descending))
            elif code not in known:
                raise Unsupported(f"{self.resource_type} has no search parameter '{code}' to sort by.")
            else:
                parameter = known[code]
                source = KINDS[parameter.type].sort if parameter.indexed else None
                if source is None:
                    raise Unsupported(f"Sorting by '{code}' of type {parameter.type} is not supported yet.")
                keys.append(SortKey(source, parameter.id, descending))
        return keys

    def _include(self, criterion: Criterion) -> Include:
        name, value = criterion.last.name, criterion.value
        source, _, rest = value.partition(":")
        code, _, target = rest.partition(":")
        reverse = name == "_revinclude"
        if value == "*":
            raise Unsupported(f"'{name}=*' is not supported yet.")
        if source not in _TYPES or (target and target not in _TYPES):
            raise invalid_value(name, value, "it takes Type:parameter or Type:parameter:TargetType")
        parameter = self.parameters.of(source).get(code)
        if parameter is None or parameter.type != "reference" or not parameter.indexed:
            raise Unsupported(f"'{name}={value}': {source} has no reference parameter '{code}' that can be used.")
        start = self.resource_type if reverse else source
        if not reverse and source != self.resource_type:
            raise Unsupported(f"'{name}={value}' has no effect on a search for {self.resource_type}.")
        if reverse and (target or start) != start:
            raise Unsupported(f"'{name}={value}' has no effect on a search for {start}.")
        return Include(parameter, target or None, reverse)
