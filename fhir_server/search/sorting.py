"""``_sort``: from codes to sort keys, https://hl7.org/fhir/R4/search.html#sort."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fhir_server.search.bound import SortKey
from fhir_server.search.errors import Unsupported
from fhir_server.search.kinds import KINDS
from fhir_server.search.registry import SearchParameters
from fhir_server.search.sort_content import sort_texts

MOST_KEYS = 10
_BY_CONTENT = frozenset(("token", "reference", "uri"))
_WITHOUT_ORDER: Mapping[str, str] = MappingProxyType(
    {
        "composite": "R4 doesn't say which of its parts comes first, so sort by these, one after the other",
        "near": "places are nearer or farther only from a point, and '_sort' has no way to name one",
        "phonetic": "sounds have no order, so sort by the names",
    }
)


def sort_key(text: str, resource_type: str, parameters: SearchParameters) -> SortKey:
    """Return the key of one item of ``_sort``, a code perhaps after a ``-``; Unsupported when there is no order by it."""
    descending, code = text.startswith("-"), text.removeprefix("-")
    if code == "_id":
        return SortKey("id", None, descending)
    if code == "_lastUpdated":
        return SortKey("last_updated", None, descending)
    if code == "_score":
        raise Unsupported("Sorting by '_score' is not supported: matches have no scores.")
    parameter = parameters.of(resource_type).get(code)
    if parameter is None:
        raise Unsupported(f"{resource_type} has no search parameter '{code}' to sort by.")
    if not parameter.indexed:
        raise Unsupported(f"Sorting by '{code}' of type {parameter.type} is not supported.")
    if parameter.type in _BY_CONTENT:
        return SortKey("content", None, descending, sort_texts(parameter))
    source = KINDS[parameter.type].sort
    if source is None:
        raise Unsupported(f"Sorting by '{code}' is not supported: {_WITHOUT_ORDER[parameter.type]}.")
    return SortKey(source, parameter.id, descending)
