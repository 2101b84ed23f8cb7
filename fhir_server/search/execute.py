"""The search-type interaction on a database, https://hl7.org/fhir/R4/http.html#search.

One statement for a page, one more if there is something to include, one more if the total is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from conformance.issues import Issue
from fhir_server.auth.caller import Caller
from fhir_server.search import cursor, include, sql
from fhir_server.search.bind import bind
from fhir_server.search.environment import Environment
from fhir_server.search.order import Position
from fhir_server.search.parse import parse
from fhir_server.search.registry import SearchParameters, standard
from fhir_server.search.rewrites import Rewritten, rewrite
from fhir_server.search.searchset import Match, SearchPage

__all__ = ["Match", "SearchPage", "Session", "search"]


class Session(Protocol):
    """What search needs of the database."""

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement with ``%s`` parameters and return its rows."""


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
) -> SearchPage:
    """Return a page of what the caller may find. ``parameters`` are decoded pairs, among them perhaps ``_cursor``.

    Raises InvalidSearch for bad values, a foreign cursor or, when ``strict``, anything unknown; Forbidden without a
    grant.
    """
    environment = Environment(caller.tenant, registry or standard(), base_url)
    query = rewrite(bind(resource_type, parse(parameters), environment, strict=strict), caller, environment)
    matches, next_cursor = await _page(session, query, cursor_key) if query.count else ([], None)
    included, issues = await _included(session, query, matches, caller, environment)
    total = (await session.fetch(*sql.total(query)))[0][0] if query.total else None
    return SearchPage(matches, included, [*query.issues, *issues], total, list(query.used), next_cursor)


async def _page(session: Session, query: Rewritten, cursor_key: bytes) -> tuple[list[Match], str | None]:
    position = None if query.cursor is None else _position(query, cursor.unseal(query, query.cursor, cursor_key))
    rows = await session.fetch(*sql.page(query, position))
    matches = [_match(query.resource_type, row) for row in rows[: query.count]]
    if len(rows) <= query.count:
        return matches, None
    key, _, _, _, _, *values = rows[query.count - 1]
    last = [sort.to_json(value) for sort, value in zip(query.sort, values, strict=True)]
    return matches, cursor.seal(query, [*last, key], cursor_key)


def _position(query: Rewritten, sealed: list[Any]) -> Position:
    *values, key = sealed
    return Position(tuple(sort.from_json(value) for sort, value in zip(query.sort, values, strict=True)), key)


def _match(resource_type: str, row: Sequence[Any]) -> Match:
    key, id_, version, last_updated, content = row[:5]
    return Match(resource_type, id_, version, last_updated, content, key)


async def _included(
    session: Session, query: Rewritten, matches: list[Match], caller: Caller, environment: Environment
) -> tuple[list[Match], list[Issue]]:
    parts = include.parts(query.includes, matches, caller, environment) if matches and query.includes else []
    if not parts:
        return [], []
    rows = await session.fetch(*sql.included(query.tenant, parts, include.MOST_INCLUDED + 1))
    shown = {(match.resource_type, match.id) for match in matches}
    found = (_match(resource_type, row) for resource_type, *row in rows[: include.MOST_INCLUDED])
    distinct = {(match.resource_type, match.id): match for match in found}
    included = [match for identity, match in distinct.items() if identity not in shown]
    if len(rows) <= include.MOST_INCLUDED:
        return included, []
    text = f"Only {include.MOST_INCLUDED} included resources are sent with a page; there are more."
    return included, [Issue("warning", "incomplete", text)]
