"""Searches on a database, on one type or several, https://hl7.org/fhir/R4/http.html#search.

One statement for a page and its total, and one more for each round of includes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from conformance.issues import Issue
from fhir_server.auth.caller import Caller
from fhir_server.errors import Forbidden
from fhir_server.search import cursor, totals
from fhir_server.search import page as paging
from fhir_server.search.bind import bind
from fhir_server.search.contained import place_matches, split
from fhir_server.search.cursor import Place
from fhir_server.search.environment import Environment
from fhir_server.search.include import Inclusion
from fhir_server.search.incomplete import find_incomplete
from fhir_server.search.order import Position, newest_first
from fhir_server.search.parse import parse
from fhir_server.search.registry import SearchParameters, standard
from fhir_server.search.rewrites import Rewritten, rewrite
from fhir_server.search.searchset import Match, SearchPage
from fhir_server.search.session import Session
from fhir_server.search.several import Compartment, bind_together, within
from fhir_server.search.steady import leads_by_index
from fhir_server.search.terminology import TenantTerminologies
from fhir_server.search.terms import bind_with_terms
from fhir_server.store.occupied import occupied
from fhir_server.store.tables import type_ids

__all__ = ["Compartment", "Match", "SearchPage", "Session", "search", "search_types"]

# Statements over more types than this leave out those without resources: planning costs by type.
MANY_TYPES = 8
_MOST_NOTED = 4096
_TYPE_NAMES = {number: name for name, number in type_ids().items()}


class _Wide:
    """Queries that had too many matches to sort them all; the oldest are forgotten."""

    def __init__(self) -> None:
        self._queries: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, query: Rewritten) -> bool:
        return (query.tenant, query.resource_type, query.where) in self._queries

    def add(self, query: Rewritten) -> None:
        self._queries[query.tenant, query.resource_type, query.where] = None
        if len(self._queries) > _MOST_NOTED:
            self._queries.popitem(last=False)


_wide = _Wide()


async def search(
    session: Session,
    caller: Caller,
    resource_type: str,
    parameters: Sequence[tuple[str, str]],
    *,
    cursor_key: bytes,
    strict: bool = False,
    registry: SearchParameters | None = None,
    base_url: str = "",
    compartment: Compartment | None = None,
    terminologies: TenantTerminologies | None = None,
) -> SearchPage:
    """Return a page of what the caller may find. ``parameters`` are decoded pairs, among them perhaps ``_cursor``.

    Raises InvalidSearch for bad values, a foreign cursor or, when ``strict``, anything unknown; Forbidden without a
    grant.
    """
    environment = Environment(caller.tenant, registry or standard(), base_url)
    criteria = parse(parameters)
    bound = await bind_with_terms(
        session, environment, lambda e: bind(resource_type, criteria, e, strict=strict), terminologies
    )
    if compartment is not None:
        bound = within(bound, compartment, environment)
    queries = [rewrite(part, caller, environment) for part in split(bound)]
    found = _Found([], (None, None), None)
    if len(queries) > 1 and bound.count:
        found = await _page_together(session, queries, _Cursors(_asked((resource_type,), queries[0]), cursor_key))
    elif bound.count:
        found = await _page(session, queries[0], cursor_key)
    if bound.contained != "false":
        placed = await place_matches(session, caller.tenant, found.matches, as_container=bound.as_container)
        found = found._replace(matches=placed)
    return await _finish(session, queries, found, caller, environment)


async def search_types(
    session: Session,
    caller: Caller,
    resource_types: tuple[str, ...],
    parameters: Sequence[tuple[str, str]],
    *,
    cursor_key: bytes,
    strict: bool = False,
    registry: SearchParameters | None = None,
    base_url: str = "",
    compartment: Compartment | None = None,
    terminologies: TenantTerminologies | None = None,
) -> SearchPage:
    """Return a page of what the caller may find among several types, by the parameters that all of them have.

    Types that the caller may not search are left out. Raises as ``search`` does; Forbidden when no type is left.
    """
    environment = Environment(caller.tenant, registry or standard(), base_url)
    criteria = parse(parameters)
    bound = await bind_with_terms(
        session, environment, lambda e: bind_together(resource_types, criteria, e, strict=strict), terminologies
    )
    queries = []
    for query in bound:
        if caller.grants_for("search", query.resource_type):
            limited = query if compartment is None else within(query, compartment, environment)
            queries.append(rewrite(limited, caller, environment))
    if not queries:
        raise Forbidden(f"{caller.subject} may not search any of these types.")
    first = queries[0]
    cursors = _Cursors(_asked(resource_types, first), cursor_key)
    cursors.place(first)
    if len(queries) > MANY_TYPES:
        there = await occupied(session, caller.tenant, [query.resource_type for query in queries])
        queries = [query for query in queries if query.resource_type in there] or queries[:1]
    found = _Found([], (None, None), None)
    if first.count:
        found = await _page_together(session, queries, cursors)
    return await _finish(session, queries, found, caller, environment)


class _Found(NamedTuple):
    """A page's matches, the cursors of the pages before and after it, and the total if it came along."""

    matches: list[Match]
    cursors: tuple[str | None, str | None]
    total: int | None


class _Cursors(NamedTuple):
    """Makes and reads the cursors of the answers to one question."""

    question: Hashable
    key: bytes

    def place(self, query: Rewritten) -> Place | None:
        """Return the place that a query's cursor names, if it has one. Raises InvalidSearch for a foreign cursor."""
        if query.cursor is None:
            return None
        return Place.from_json(cursor.unseal_place(self.question, query.cursor, self.key))

    def around(
        self, shown: Sequence[Sequence[Any]], place: Place | None, *, more: bool
    ) -> tuple[str | None, str | None]:
        """Return the cursors of the pages before and after one, see ``cursor.turn``."""
        before, after = cursor.turn(shown, place, more=more)
        return self._sealed(before), self._sealed(after)

    def _sealed(self, place: Place | None) -> str | None:
        return None if place is None else cursor.seal_place(self.question, place.to_json(), self.key)


async def _finish(
    session: Session, queries: Sequence[Rewritten], found: _Found, caller: Caller, environment: Environment
) -> SearchPage:
    """Add what is included and the total."""
    query, issues = queries[0], list(queries[0].issues)
    issues += find_incomplete([q.resource_type for q in queries], query.used, environment.parameters)
    included: list[Match] = []
    if query.includes and found.matches:
        inclusion = Inclusion(query.includes, caller, environment)
        await inclusion.follow(session, found.matches)
        included = inclusion.found
        issues += inclusion.issues
    total = found.total
    if total is None and query.total == "estimate" and query.count:
        total = await totals.estimate(session, queries)
        if total is not None:
            issues.append(Issue("information", "informational", "The total is an estimate."))
    if total is None and query.total != "none":
        total = await totals.count(session, queries)
    previous, following = found.cursors
    return SearchPage(found.matches, included, issues, total, list(query.used), following, query.view, previous)


async def _page(session: Session, query: Rewritten, cursor_key: bytes) -> _Found:
    cursors = _Cursors(cursor.asked(query), cursor_key)
    place, position = cursors.place(query), None
    if place is not None:
        *given, key = place.values
        position = Position(_sort_values(query, given), key, place.inclusive, place.backwards)
    counted = query.total == "accurate"
    known = totals.REMEMBERED.known(query) if counted else None
    state = (known[0] if known else "") if counted else None
    steady = not counted and leads_by_index(query.where)
    few = (paging.by_one_value(query.sort) or (steady and not query.sort)) and query not in _wide
    rows = await session.fetch(*paging.page(query, position, few=few, state=state), steady=few and steady)
    if few and rows and rows[0][paging.COLUMNS + len(query.sort)] > paging.MOST_SORTED:
        _wide.add(query)
        rows = await session.fetch(*paging.page(query, position, state=state))
    total = _total(query, rows, position, known) if counted else None
    shown = _in_order(rows[: query.count], place)
    matches = [_match(paging.number_of(query), row) for row in shown]
    around = cursors.around([_place(query, row) for row in _ends(shown)], place, more=len(rows) > query.count)
    return _Found(matches, around, total)


def _in_order(rows: list[tuple[Any, ...]], place: Place | None) -> list[tuple[Any, ...]]:
    return rows[::-1] if place is not None and place.backwards else rows


def _ends(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the first row and the last."""
    return [rows[0], rows[-1]] if rows else []


def _total(
    query: Rewritten, rows: Sequence[Sequence[Any]], position: Position | None, known: tuple[str, int] | None
) -> int | None:
    """Return the total that came with the rows; None when none did, past the end."""
    if not rows:
        return 0 if position is None else None
    state, total = rows[0][-2:]
    if total is None:
        return known[1] if known else None
    totals.REMEMBERED.remember(query, state, total)
    return int(total)


def _place(query: Rewritten, row: Sequence[Any]) -> list[Any]:
    values = row[paging.COLUMNS : paging.COLUMNS + len(query.sort)]
    return [*(sort.to_json(value) for sort, value in zip(query.sort, values, strict=True)), row[0]]


def _sort_values(query: Rewritten, given: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sort.from_json(value) for sort, value in zip(query.sort, given, strict=True))


def _match(number: int, row: Sequence[Any]) -> Match:
    """Return a match of what has a number; where a contained resource is within isn't known yet."""
    key, id_, version, last_updated, content = row[: paging.COLUMNS]
    return Match(_TYPE_NAMES[abs(number)], id_, version, last_updated, content, key, "" if number < 0 else None)


def _asked(resource_types: tuple[str, ...], query: Rewritten) -> Hashable:
    return query.tenant, resource_types, query.matching


async def _page_together(session: Session, queries: Sequence[Rewritten], cursors: _Cursors) -> _Found:
    query, count = queries[0], queries[0].count
    place = cursors.place(query)
    positions = [_position_among(q, place) for q in queries]
    rows = await session.fetch(*paging.together(queries, positions))
    shown = _in_order(rows[:count], place)
    matches = [_match(number, row) for number, *row in shown]
    ends = [[*_place(query, row), number] for number, *row in _ends(shown)]
    return _Found(matches, cursors.around(ends, place, more=len(rows) > count), None)


def _position_among(query: Rewritten, place: Place | None) -> Position | None:
    """Return a cursor's place as seen from one of the types: another's resource with the same key may lie beyond it."""
    if place is None:
        return None
    *given, key, number = place.values
    own = paging.number_of(query)
    downwards = newest_first(query.sort) != place.backwards
    inclusive = (own < number if downwards else own > number) or (place.inclusive and own == number)
    return Position(_sort_values(query, given), key, inclusive, place.backwards)
