"""Patient/$everything and Encounter/$everything, https://hl7.org/fhir/R4/patient-operation-everything.html.

First the resource itself, then the members of its compartment, type by type and oldest first, then what those refer to.
Stored bytes go into the Bundle as they are. A cursor names the last entry's place (type and immutable key, later type and
id), so every resource comes once, whatever others write meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from conformance.definitions import resource_types
from conformance.primitives import date_range
from fhir_server.errors import Gone, InvalidRequest, NotFound
from fhir_server.operations.built_in import BuiltIn, Link, ServerContext
from fhir_server.operations.contract import Invocation
from fhir_server.operations.definitions import load, official
from fhir_server.operations.links import references_in, url_of, write_entries
from fhir_server.operations.parameters import value, values
from fhir_server.search import members, sql
from fhir_server.search.condition import AllOf, Condition, Not
from fhir_server.search.cursor import seal_place, unseal_place
from fhir_server.search.environment import Environment
from fhir_server.search.row import HasId, Updated
from fhir_server.search.searchset import Match
from fhir_server.search.sql import Part
from fhir_server.search.statement import Run
from fhir_server.store.database import Session
from fhir_server.store.entries import OPEN_HIGH, OPEN_LOW
from fhir_server.store.occupied import occupied
from fhir_server.store.read import read

CODE = "everything"
MOST = 1000
"""Entries of a page at most, and without ``_count``."""
_CHUNK = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for: a compartment's resource (or all, ``id`` None), its filters, and where the page begins.

    ``place`` is () at the start, (type, key) after a member, (type, id) after a resource that members refer to, whose
    place starts with ``""``.
    """

    compartment: str
    id: str | None
    types: frozenset[str]
    since: datetime | None
    low: int
    high: int
    count: int
    query: tuple[tuple[str, str], ...]
    place: tuple[Any, ...]

    @property
    def by_tokens(self) -> bool:
        """Whether members are found by tokens alone, for which one plan is good whatever their values."""
        return self.id is not None and self.since is None and (self.low, self.high) == (OPEN_LOW, OPEN_HIGH)

    def wants(self, resource_type: str) -> bool:
        """Tell whether a type is to be returned."""
        return not self.types or resource_type in self.types


def _types(given: Sequence[str]) -> frozenset[str]:
    names = [name.strip() for text in given for name in text.split(",")]
    for name in names:
        if name not in resource_types():
            raise InvalidRequest(f"_type: '{name[:64]}' is not a FHIR R4 resource type.", code="value")
    return frozenset(names)


def _read_parameters(invocation: Invocation, context: ServerContext) -> _Asked:
    given = invocation.parameters
    count, since = value(given, "_count"), value(given, "_since")
    if count is not None and count < 1:
        raise InvalidRequest(f"_count must be 1 or more, not {count}.", code="value")
    start, end = value(given, "start"), value(given, "end")
    low = OPEN_LOW if start is None else date_range(start)[0]
    high = OPEN_HIGH if end is None else date_range(end)[1]
    if low >= high:
        raise InvalidRequest(f"start {start} is after end {end}.", code="value")
    query = tuple(
        (p["name"], str(next(v for k, v in p.items() if k.startswith("value")))) for p in given.get("parameter", ())
    )
    cursors = [text for name, text in invocation.query if name == "_cursor"]
    compartment = str(invocation.resource_type)
    place: Sequence[Any] = ()
    if cursors:
        place = unseal_place(_question(context, compartment, invocation.id, query), cursors[0], context.cursor_key)
    return _Asked(
        compartment=compartment,
        id=invocation.id,
        types=_types(values(given, "_type")),
        since=None if since is None else _EPOCH + timedelta(microseconds=date_range(since)[0]),
        low=low,
        high=high,
        count=min(count or MOST, MOST),
        query=query,
        place=tuple(place),
    )


def _question(context: ServerContext, compartment: str, id_: str | None, query: Sequence[tuple[str, str]]) -> Any:
    """Return what a cursor is sealed for; the size of pages may change between them."""
    return CODE, context.caller.tenant, compartment, id_, sorted(pair for pair in query if pair[0] != "_count")


class _Collector:
    """Fills one page."""

    def __init__(self, asked: _Asked, context: ServerContext, session: Session) -> None:
        self._asked = asked
        self._context = context
        self._session = session
        self._environment = Environment(context.caller.tenant, context.parameters, context.base_url)
        self.found: list[tuple[Match, str]] = []
        self.next: tuple[Any, ...] | None = None

    @property
    def _room(self) -> int:
        return self._asked.count - len(self.found)

    async def fill(self, focus: Match | None, present: Sequence[str]) -> None:
        """Add the focus, members and what they refer to, until the page is full; ``present`` are the types that have rows."""
        asked = self._asked
        in_members = asked.place[:1] != ("",)
        if focus is not None and not asked.place and asked.wants(asked.compartment) and self._is_since(focus):
            self.found.append((focus, "match"))
        whole = False
        if in_members:
            whole = await self._add_members(present)
            if self.next is not None:
                return
        await (self._add_supporting(present) if asked.id is None else self._add_referenced(focus, present, whole=whole))

    def _is_since(self, match: Match) -> bool:
        return self._asked.since is None or match.last_updated >= self._asked.since

    def _updated(self) -> list[Condition]:
        since = self._asked.since
        return [] if since is None else [Updated("ge", since, since)]

    def _in_period(self, resource_type: str) -> list[Condition]:
        asked, code = self._asked, load("care-dates").get(resource_type)
        if code is None or (asked.low, asked.high) == (OPEN_LOW, OPEN_HIGH):
            return []
        return [members.in_period(resource_type, code, asked.low, asked.high, self._environment)]

    def _memberships(self, present: Sequence[str]) -> Iterator[tuple[str, Condition]]:
        """Yield the condition of the members of each type, in the order of the answer: the compartment's own type first."""
        asked = self._asked
        types = [asked.compartment, *(t for t in members.member_types(asked.compartment) if t != asked.compartment)]
        for resource_type in types:
            if resource_type not in present:
                continue
            if asked.id is None and resource_type == asked.compartment:
                found: Condition | None = AllOf(())
            else:
                found = members.membership(asked.compartment, asked.id, resource_type, self._environment)
            if found is not None:
                yield resource_type, AllOf((found, *self._in_period(resource_type)))

    async def _add_members(self, present: Sequence[str]) -> bool:
        """Add members; tell whether the page holds all that there are, so that their references are all at hand."""
        asked = self._asked
        wanted = [(t, AllOf((c, *self._updated()))) for t, c in self._memberships(present) if asked.wants(t)]
        parts = members.allowed_parts(wanted, self._context.caller, self._environment)
        await self._add(parts, "match", asked.place, ())
        return not asked.place and not asked.types and asked.since is None

    async def _add(self, parts: Sequence[Part], mode: str, place: tuple[Any, ...], prefix: tuple[str, ...]) -> None:
        """Add the resources of the parts in order, from a place (type and key) on; note where the next page begins."""
        after = None
        if place:
            parts = [part for part in parts if self._rank(part.resource_type) >= self._rank(place[0])]
            after = place[1] if parts and parts[0].resource_type == place[0] else None
        if not parts:
            return
        room = self._room
        rows = await self._session.fetch(*self._in_order(parts, after, room + 1))
        for number, *row in rows[:room]:
            self.found.append((_match(parts[number].resource_type, row), mode))
        if len(rows) > room:
            last = self.found[-1][0]
            # Where the focus alone filled the page, members with older keys are still to come.
            self.next = (*prefix, last.resource_type, last.key if room else OPEN_LOW)

    def _in_order(self, parts: Sequence[Part], after: int | None, most: int) -> Run:
        return sql.in_order(self._context.caller.tenant, parts, after, most, few=self._asked.id is not None)

    def _rank(self, resource_type: str) -> tuple[bool, str]:
        return resource_type != self._asked.compartment, resource_type

    async def _add_supporting(self, present: Sequence[str]) -> None:
        """Add, for all patients at once, every resource of the types that members may refer to."""
        asked = self._asked
        wanted = [
            (t, AllOf(tuple(self._updated())))
            for t in members.referable(asked.compartment)
            if t in present and asked.wants(t)
        ]
        parts = members.allowed_parts(wanted, self._context.caller, self._environment)
        if self._room < 1:
            self.next = ("",) if parts else None
            return
        place = asked.place[1:] if asked.place[:1] == ("",) else ()
        await self._add(parts, "include", place, ("",))

    async def _add_referenced(self, focus: Match | None, present: Sequence[str], *, whole: bool) -> None:
        """Add what members refer to, by type and id, without the members themselves."""
        if whole:
            sources, known = [m.content for m, _ in self.found], {(m.resource_type, m.id) for m, _ in self.found}
            referenced = self._references(sources)
        else:
            referenced, known = await self._read_references(focus, present)
        asked = self._asked
        after = asked.place[1:] if asked.place[:1] == ("",) else ()
        left = sorted(
            pair
            for pair in referenced - known
            if pair > after and asked.wants(pair[0]) and pair[0] != asked.compartment
        )
        while left:
            if self._room < 1:
                self.next = ("", *after)
                return
            chunk, left = left[: self._room], left[self._room :]
            await self._add_identified(chunk)
            after = chunk[-1]

    def _references(self, sources: Sequence[bytes]) -> set[tuple[str, str]]:
        return set(references_in(b"\n".join(sources), self._context.base_url))

    async def _read_references(
        self, focus: Match | None, present: Sequence[str]
    ) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """Return what all members refer to and the members, reading them in chunks: here the filters are no limit."""
        parts = members.allowed_parts(self._memberships(present), self._context.caller, self._environment)
        focused = [] if focus is None else [focus]
        referenced = self._references([m.content for m in focused])
        known = {(m.resource_type, m.id) for m in focused}
        after = None
        while parts:
            rows = await self._session.fetch(*self._in_order(parts, after, _CHUNK))
            referenced |= self._references([row[-1] for row in rows])
            known |= {(parts[row[0]].resource_type, row[2]) for row in rows}
            if len(rows) < _CHUNK:
                break
            parts, after = parts[rows[-1][0] :], rows[-1][1]
        return referenced, known

    async def _add_identified(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Add resources by type and id; none that is part of another's compartment."""
        by_type: dict[str, list[str]] = {}
        for resource_type, id_ in pairs:
            by_type.setdefault(resource_type, []).append(id_)
        wanted = []
        for resource_type, ids in by_type.items():
            of_any = members.membership(self._asked.compartment, None, resource_type, self._environment)
            others = [] if of_any is None else [Not(of_any)]
            wanted.append((resource_type, AllOf((HasId(tuple(ids)), *others, *self._updated()))))
        parts = members.allowed_parts(wanted, self._context.caller, self._environment)
        if parts:
            rows = await self._session.fetch(*sql.included(self._context.caller.tenant, parts, len(pairs)))
            matches = (_match(resource_type, row) for resource_type, *row in rows)
            self.found += [(match, "include") for match in sorted(matches, key=lambda m: (m.resource_type, m.id))]


def _match(resource_type: str, row: Sequence[Any]) -> Match:
    key, id_, version, last_updated, content = row
    return Match(resource_type, id_, version, last_updated, content, key)


async def _read_focus(context: ServerContext, session: Session, resource_type: str, id_: str) -> Match:
    found = await read(session, context.caller.tenant, resource_type, id_)
    if found is None or (found.content is not None and not context.may_read(resource_type, found.content)):
        raise NotFound(f"{resource_type}/{id_} is not known.")
    if found.content is None:
        raise Gone(f"{resource_type}/{id_} was deleted.")
    return Match(resource_type, id_, found.version, found.last_updated, found.content, found.key or 0)


async def everything(invocation: Invocation, context: ServerContext) -> bytes:
    """Return a page of what belongs to one patient or encounter, or to all patients.

    Raises NotFound or Gone for the resource itself, InvalidRequest for bad parameters and InvalidSearch for a cursor that
    wasn't made for them.
    """
    asked = _read_parameters(invocation, context)
    context.require("read", asked.compartment)
    tenant = context.caller.tenant
    candidates = {asked.compartment, *members.member_types(asked.compartment)}
    if asked.id is None:
        candidates.update(members.referable(asked.compartment))
    async with context.session() as session:
        focus = None if asked.id is None else await _read_focus(context, session, asked.compartment, asked.id)
        present = await occupied(session, tenant, sorted(candidates))
        if asked.by_tokens and not any(grant.criteria for grant in context.caller.grants):
            collector = _Collector(asked, context, session)
            await collector.fill(focus, present)
            return _answer(asked, context, invocation, collector)
    async with context.searching() as session:
        collector = _Collector(asked, context, session)
        await collector.fill(focus, present)
    return _answer(asked, context, invocation, collector)


def _answer(asked: _Asked, context: ServerContext, invocation: Invocation, collector: _Collector) -> bytes:
    return context.searchset(
        list(_links(asked, context, invocation, collector.next)),
        list(write_entries(context.base_url, collector.found)),
    )


def _links(
    asked: _Asked, context: ServerContext, invocation: Invocation, following: tuple[Any, ...] | None
) -> Iterator[Link]:
    own = list(asked.query)
    cursor = [pair for pair in invocation.query if pair[0] == "_cursor"]
    yield "self", url_of(context.base_url, invocation, CODE, [*own, *cursor])
    if following is not None:
        question = _question(context, asked.compartment, asked.id, asked.query)
        sealed = seal_place(question, following, context.cursor_key)
        yield "next", url_of(context.base_url, invocation, CODE, [*own, ("_cursor", sealed)])


PATIENT = BuiltIn(official("Patient-everything"), everything, query=frozenset(("_cursor",)))
ENCOUNTER = BuiltIn(official("Encounter-everything"), everything, query=frozenset(("_cursor",)))
