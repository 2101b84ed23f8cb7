"""Searches by what isn't indexed for all resources yet: the result may lack some, and the Bundle says so.

So it is with SearchParameters that came after resources, and after the format of the index has changed, until $reindex
is through; see :mod:`fhir_server.search.tenant_parameters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from conformance.definitions import resource_types
from conformance.issues import Issue
from fhir_server.search.parse import parse
from fhir_server.search.query import Criterion, Forward
from fhir_server.search.registry import COLUMNS, SearchParameters

CODE = "incomplete"
_TYPES = frozenset(resource_types())


def find_incomplete(
    types: Sequence[str], pairs: Sequence[tuple[str, str]], parameters: SearchParameters
) -> list[Issue]:
    """Return a warning for each such parameter that a search on ``types`` uses, in a chain or for the order, too.

    The code of its issue is CODE; while the server reindexes for a new format of the index, it is ``transient``.
    """
    if not parameters.incomplete and not parameters.behind:
        return []
    used = {use for criterion in parse(pairs) for use in _uses(types, criterion, parameters)}
    missing = sorted(use for use in used if use in parameters.incomplete)
    behind = sorted({name for name, code in used if name in parameters.behind and code not in COLUMNS})
    issues = [
        Issue(
            "warning",
            CODE,
            f"Results may be incomplete until $reindex has run: resources that are older than the search parameter "
            f"'{code}' of {name} are not found by it.",
        )
        for name, code in missing
    ]
    if behind:
        text = f"Results may be incomplete while the server reindexes {', '.join(behind)}."
        issues.append(Issue("warning", "transient", text))
    return issues


def _uses(types: Sequence[str], criterion: Criterion, parameters: SearchParameters) -> Iterator[tuple[str, str]]:
    """Yield the (resource type, code) pairs that a criterion looks up."""
    name = criterion.last.name
    if len(criterion.path) == 1 and name == "_sort":
        for key in criterion.values:
            yield from ((t, key.removeprefix("-")) for t in types)
    elif len(criterion.path) == 1 and name in ("_include", "_revinclude"):
        for value in criterion.values:
            source, _, rest = value.partition(":")
            yield source, rest.partition(":")[0]
    else:
        yield from _path_uses(types, criterion, parameters)


def _path_uses(types: Sequence[str], criterion: Criterion, parameters: SearchParameters) -> Iterator[tuple[str, str]]:
    reached: Iterable[str] = types
    for step in criterion.path:
        if not isinstance(step, Forward):
            yield step.resource_type, step.reference
            reached = (step.resource_type,)
            continue
        following: set[str] = set()
        for name in reached:
            parameter = parameters.of(name).get(step.name) if name in _TYPES else None
            if parameter is not None:
                yield name, step.name
                following.update(parameter.targets or resource_types())
        reached = (step.modifier,) if step.modifier in _TYPES else following
