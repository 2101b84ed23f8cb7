"""Observation/$lastn: the newest Observations of each code, https://hl7.org/fhir/R4/observation-operation-lastn.html.

Codes are the same when they share a coding (system and code), and so on through other Observations' codings; a code
without codings is its text. Who is as new as the last one that counts is returned, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from conformance.issues import Issue, operation_outcome
from conformance.primitives import date_range
from fhir_server.errors import InvalidRequest, Unprocessable
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation
from fhir_server.operations.definitions import official
from fhir_server.operations.links import entry, url_of
from fhir_server.operations.parameters import value
from fhir_server.search.execute import search
from fhir_server.search.registry import SearchParameters
from fhir_server.search.searchset import Match

CODE = "lastn"
MOST_READ = 50_000
"""Matches of the search criteria at most; more would have to be read in vain."""
_NOT_CRITERIA = frozenset(
    ("_sort", "_count", "_cursor", "_total", "_summary", "_elements", "_include", "_revinclude", "_contained")
)
_SUBJECTS = frozenset(("patient", "subject"))
_CODE_ELEMENT = re.compile(r"\bcode\b")


class _Read(msgspec.Struct):
    """What grouping needs of an Observation."""

    code: dict[str, Any]
    effectiveDateTime: str | None = None  # noqa: N815 - as in FHIR
    effectiveInstant: str | None = None  # noqa: N815
    effectivePeriod: dict[str, Any] | None = None  # noqa: N815
    effectiveTiming: dict[str, Any] | None = None  # noqa: N815


_DECODER = msgspec.json.Decoder(_Read)
_Ranked = tuple[int, int | None, Match]
"""Place in the order, time in microseconds, and the Observation."""


class Groups:
    """Observations by code, each group holding only the newest ``most`` and those as new as the last of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_code: dict[tuple[str, str], int] = {}
        self._groups: dict[int, list[_Ranked]] = {}
        self._codes: dict[int, set[tuple[str, str]]] = {}

    def add(self, codes: Sequence[tuple[str, str]], ranked: _Ranked) -> None:
        """Add an Observation; its codes may make several groups one."""
        number = ranked[0]
        together = {self._by_code[code] for code in codes if code in self._by_code}
        members, owned = [ranked], set(codes)
        for other in together:
            members += self._groups.pop(other)
            owned |= self._codes.pop(other)
        self._groups[number], self._codes[number] = self._newest(members), owned
        for code in owned:
            self._by_code[code] = number

    def _newest(self, members: list[_Ranked]) -> list[_Ranked]:
        members.sort(key=lambda ranked: ranked[0])
        kept = members[: self._most]
        last = kept[-1][1]
        return kept + [m for m in members[self._most :] if last is not None and m[1] == last]

    def newest_first(self) -> list[Match]:
        """Return all that is kept, in the order of the search."""
        return [match for _, _, match in sorted((r for g in self._groups.values() for r in g), key=lambda r: r[0])]


def codes_of(concept: dict[str, Any], number: int) -> list[tuple[str, str]]:
    """Return what makes a CodeableConcept equal to others; one with neither code nor text is equal to none."""
    codings = concept.get("coding", ())
    codes = [(coding.get("system", ""), coding["code"]) for coding in codings if "code" in coding]
    if codes:
        return codes
    # No FHIR string holds a NUL, so these never meet a system.
    return [("\x00text", concept["text"])] if "text" in concept else [("\x00number", str(number))]


def _times(read: _Read) -> Iterator[str]:
    period = read.effectivePeriod or {}
    for text in (read.effectiveDateTime, read.effectiveInstant, period.get("start")):
        if text is not None:
            yield text
    yield from (t for t in (read.effectiveTiming or {}).get("event", ()) if t is not None)


def _time(read: _Read) -> int | None:
    """Return when an Observation begins to be true, in microseconds."""
    try:
        return min((date_range(text)[0] for text in _times(read)), default=None)
    except ValueError:
        return None


def _check(criteria: Sequence[tuple[str, str]], parameters: SearchParameters) -> None:
    """Raise InvalidRequest unless there is a subject, and a category or code, as the definition asks."""
    names = {re.split("[.:]", name)[0] for name, text in criteria if text}
    for name in sorted(names & _NOT_CRITERIA):
        raise InvalidRequest(f"${CODE} takes no {name}: order and number are its own.", code="not-supported")
    if not names & _SUBJECTS:
        raise InvalidRequest(f"${CODE} needs the search parameter patient or subject.", code="required")
    known = parameters.of("Observation")
    coded = {n for n, p in known.items() if p.definition.expression and _CODE_ELEMENT.search(p.definition.expression)}
    if "category" not in names and not names & coded:
        raise InvalidRequest(f"${CODE} needs the search parameter category, or one about a code.", code="required")


async def _collect(
    criteria: Sequence[tuple[str, str]], context: ServerContext, groups: Groups
) -> tuple[list[tuple[str, str]], list[Issue]]:
    """Read all matches into groups; return the criteria that had effect, and issues about the others."""
    cursor, number = "", 0
    query = [*criteria, ("_sort", "-date"), ("_count", "1000")]
    while True:
        async with context.searching() as session:
            page = await search(
                session,
                context.caller,
                "Observation",
                [*query, *([("_cursor", cursor)] if cursor else [])],
                cursor_key=context.cursor_key,
                strict=context.strict,
                registry=context.parameters,
                base_url=context.base_url,
                terminologies=context.terminologies,
            )
        for match in page.matches:
            read = _DECODER.decode(match.content)
            groups.add(codes_of(read.code, number), (number, _time(read), match))
            number += 1
        if page.next_cursor is None:
            return [pair for pair in page.used if pair[0] not in _NOT_CRITERIA], page.issues
        if number >= MOST_READ:
            raise Unprocessable(f"More than {MOST_READ:,} Observations match; narrow the search.", code="too-costly")
        cursor = page.next_cursor


async def lastn(invocation: Invocation, context: ServerContext) -> bytes:
    """Return the newest Observations of each code among those that match the search parameters, newest first."""
    criteria = list(invocation.query)
    _check(criteria, context.parameters)
    most = value(invocation.parameters, "max")
    groups = Groups(most or 1)
    used, issues = await _collect(criteria, context, groups)
    matches = groups.newest_first()
    entries = [entry(context.base_url, match, "match") for match in matches]
    if issues:
        entries.append({"resource": operation_outcome(issues), "search": {"mode": "outcome"}})
    query = [*used, *([] if most is None else [("max", str(most))])]
    return context.searchset([("self", url_of(context.base_url, invocation, CODE, query))], entries, len(matches))


LASTN = BuiltIn(official("Observation-lastn"), lastn, query=None)
