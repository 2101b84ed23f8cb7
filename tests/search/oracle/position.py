"""``near``: latitude|longitude|distance|units, https://hl7.org/fhir/R4/location.html#search."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import Any

from tests.search.oracle.written import split

EARTH_KM = 6371.0088
_KILOMETRES = {"km": 1.0, "m": 0.001, "[mi_i]": 1.609344, "": 1.0}


def distance(position: dict[str, Any], latitude: float, longitude: float) -> float:
    """Return the length of the great circle between two places in km."""
    lat, lon = radians(position["latitude"]), radians(position["longitude"])
    to_lat, to_lon = radians(latitude), radians(longitude)
    half = sin((to_lat - lat) / 2) ** 2 + cos(lat) * cos(to_lat) * sin((to_lon - lon) / 2) ** 2
    return 2 * EARTH_KM * asin(sqrt(half))


def holds(position: dict[str, Any], text: str) -> bool:
    """Tell whether a place is near enough: "If the units are omitted, then kms should be assumed"."""
    latitude, longitude, reach, *unit = split(text, "|")
    within = float(reach) * _KILOMETRES[unit[0] if unit else ""]
    return distance(position, float(latitude), float(longitude)) <= within
