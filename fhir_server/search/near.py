"""Parameters whose xpathUsage is nearby, https://hl7.org/fhir/R4/location.html#search: ``latitude|longitude|distance|unit``.

A position is one row of the range table: its latitude in ``low``, which the index is by, its longitude in ``high``.
Distances are those on a sphere, after the haversine formula; they differ by up to 0.5 % from those on the ellipsoid.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from psycopg.types.numeric import Float8, Int4
from sqlalchemy import ColumnElement, Double, Integer, Numeric, cast, func, literal_column, select

from conformance.ucum import canonical
from fhir_server.search.condition import Candidate, Condition, Scope, any_of
from fhir_server.search.environment import Environment
from fhir_server.search.number import storable, to_decimal
from fhir_server.search.parse import split, unescape
from fhir_server.search.registry import Parameter
from fhir_server.search.slot import Slot
from fhir_server.store.entries import IndexEntries, NumberEntry
from fhir_server.store.tables import number_index

MODIFIERS: frozenset[str] = frozenset()
EARTH_RADIUS = 6_371_008.8
"""The mean radius in metres (IUGG)."""
DEFAULT_DISTANCE = Decimal(50)
"""What is near when the search doesn't say, in DEFAULT_UNIT; R4 leaves that to the server."""
DEFAULT_UNIT = "km"
_POLE, _DATE_LINE = 90, 180
_DOUBLE: Double[float] = Double()
_LITERALS: tuple[ColumnElement[float], ...] = (
    literal_column("1.0::float8", _DOUBLE),
    literal_column("2.0::float8", _DOUBLE),
)


def extract(slot: Slot, fhir_type: str, value: Any, entries: IndexEntries) -> None:
    """Add a position that is on the globe."""
    if fhir_type != "Location.position":
        return
    latitude, longitude = to_decimal(value.get("latitude")), to_decimal(value.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > _POLE or abs(longitude) > _DATE_LINE:
        return
    entries.numbers.append(NumberEntry(slot.parameter, latitude, latitude, longitude, None, None, None))


@dataclass(frozen=True, slots=True)
class Near:
    """A position lies within ``distance`` metres of a point."""

    parameter: int
    latitude: Decimal
    longitude: Decimal
    distance: float

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return "near"

    def values(self) -> Iterator[Any]:
        """See Condition."""
        # A little more than the distance: it only bounds the index scan.
        reach = Decimal(min(math.degrees(self.distance / EARTH_RADIUS) * 1.001, 2 * _POLE))
        yield Int4(self.parameter)
        yield self.latitude - reach
        yield self.latitude + reach
        yield Float8(float(self.latitude))
        yield Float8(float(self.longitude))
        yield Float8(self.distance)

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        columns, take = number_index.c, scope.binds.take
        found = select(columns.key).where(columns.tenant == scope.tenant, columns.parameter == take(Integer()))
        found = found.where(columns.value >= take(Numeric()), columns.value <= take(Numeric()))
        latitude, longitude, distance = (take(_DOUBLE) for _ in range(3))
        here = cast(columns.low, _DOUBLE), cast(columns.high, _DOUBLE)
        angle = _angle(*here, latitude, longitude, func, func.least, _LITERALS)
        return scope.table.c.key.in_(found.where(angle * literal_column(str(EARTH_RADIUS)) <= distance))

    def holds(self, candidate: Candidate) -> bool:
        """See Condition."""
        rows = (e for e in candidate.entries.numbers if e.parameter == self.parameter)
        return any(self._away(float(e.low), float(e.high)) <= self.distance for e in rows)

    def _away(self, latitude: float, longitude: float) -> float:
        point = float(self.latitude), float(self.longitude)
        return EARTH_RADIUS * float(_angle(latitude, longitude, *point, math, min, (1.0, 2.0)))


def _angle(
    latitude: Any, longitude: Any, latitude_2: Any, longitude_2: Any, functions: Any, least: Any, one_two: Any
) -> Any:
    """Return the angle between two points in radians, alike for floats and for SQL; ``one_two`` are these numbers."""
    sin, cos, radians, (one, two) = functions.sin, functions.cos, functions.radians, one_two
    up, across = sin(radians(latitude_2 - latitude) / two), sin(radians(longitude_2 - longitude) / two)
    haversine = up * up + cos(radians(latitude)) * cos(radians(latitude_2)) * across * across
    return two * functions.asin(least(one, functions.sqrt(haversine)))


def condition(_: Parameter, place: Slot, __: str | None, values: Sequence[str], ___: Environment) -> Condition:
    """Return what a search for positions asks for. Raises ValueError for what is no point, distance or unit of length."""
    return any_of([_near(place, value) for value in values])


def _near(place: Slot, value: str) -> Near:
    parts = [unescape(part) for part in split(value, "|")]
    if not 2 <= len(parts) <= 4:  # noqa: PLR2004 - as the message says
        raise ValueError("it is written latitude|longitude, latitude|longitude|distance or …|distance|unit")
    latitude = _number(parts[0], -_POLE, _POLE, "a latitude")
    longitude = _number(parts[1], -_DATE_LINE, _DATE_LINE, "a longitude")
    given = parts[2] if len(parts) > 2 else ""  # noqa: PLR2004
    distance = _number(given, 0, 10**9, "a distance") if given else DEFAULT_DISTANCE
    code = (parts[3] if len(parts) > 3 else "") or DEFAULT_UNIT  # noqa: PLR2004
    unit = canonical(code)
    if unit is None or unit.unit != "m":
        raise ValueError(f"'{code}' is no UCUM unit of length, such as km, m or [mi_i]")
    return Near(place.parameter, latitude, longitude, float(unit.of(distance)))


def _number(text: str, least: int, most: int, what: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not storable(number) or not least <= number <= most:
        raise ValueError(f"'{text}' is not {what} from {least} to {most}")
    return number
