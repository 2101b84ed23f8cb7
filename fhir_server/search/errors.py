"""What search refuses, https://hl7.org/fhir/R4/search.html#errors."""

from __future__ import annotations

from conformance.issues import InvalidResource, Issue

_LONGEST_SHOWN = 1000


class InvalidSearch(InvalidResource):
    """A search that can't be carried out as asked (HTTP 400); ``issues`` name the parameter and the value."""


class Unsupported(Exception):
    """A parameter, modifier or option that the server can't use; the message says which."""


def invalid_value(name: str, value: str, reason: str) -> InvalidSearch:
    """Return the error for one bad value of one parameter."""
    shown = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
    return InvalidSearch([Issue("error", "value", f"Search parameter '{name}' has the value '{shown}': {reason}")])
