"""$closure, https://hl7.org/fhir/R4/conceptmap-operation-closure.html.

With a name alone it starts a table anew; with concepts it adds them and answers with what that adds to the table; with a
version it answers with everything that was added since. Tables are the tenant's: whoever knows its name uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from conformance.terminology.closure import Concept, Pair, closure_map
from fhir_server.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.parameters import value, values
from fhir_server.operations.terminology.call import put
from fhir_server.operations.terminology.definitions import definition_of
from fhir_server.search.terminology import Known
from fhir_server.store.closures import extend_closure, read_closure, read_pairs, start_closure
from fhir_server.store.database import Session

MOST_CONCEPTS = 10_000
"""A table holds so many concepts at most."""
_MOST_NAME = 200
_MOST_DIGITS = 18
_ATTEMPTS = 5


def _version_of(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise InvalidRequest("The version of a closure table is the number that it was answered with.", code="value")
    return int(text)


def _concepts_of(codings: Sequence[Resource]) -> list[Concept]:
    for coding in codings:
        if not coding.get("system") or not coding.get("code"):
            raise InvalidRequest("Each concept takes a system and a code.", code="required")
    return list(dict.fromkeys((coding["system"], coding["code"]) for coding in codings))


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no closure table {name}: start it by a call with its name alone.")


async def _closure(invocation: Invocation, context: ServerContext) -> Resource:
    given = invocation.parameters
    name, since, concepts = value(given, "name"), value(given, "version"), _concepts_of(values(given, "concept"))
    if len(name) > _MOST_NAME:
        raise InvalidRequest(f"The name of a closure table has {_MOST_NAME} characters at most.", code="too-long")
    if since is not None and concepts:
        raise InvalidRequest("$closure takes concepts or a version, not both.", code="invalid")
    if since is not None:
        version, pairs = await _replay(context, name, _version_of(since))
    elif concepts:
        version, pairs = await _add(context, name, concepts)
    else:
        version, pairs = await _start(context, name), []
    return closure_map(name, str(version), pairs, context.now)


async def _start(context: ServerContext, name: str) -> int:
    async def attempt(session: Session) -> int:
        await start_closure(session, context.caller.tenant, name)
        return 0

    return await context.persist(attempt)


async def _replay(context: ServerContext, name: str, since: int) -> tuple[int, list[Pair]]:
    async with context.session() as session:
        found = await read_pairs(session, context.caller.tenant, name, since)
    if found is None:
        raise _unknown(name)
    if since > found[0]:
        raise InvalidRequest(f"The closure table {name} is at version {found[0]} only.", code="value")
    return found


async def _add(context: ServerContext, name: str, concepts: list[Concept]) -> tuple[int, list[Pair]]:
    """Add concepts; what they add is found on no connection that is held meanwhile, so the table may change under it."""
    for _ in range(_ATTEMPTS):
        async with context.session() as session:
            found = await read_closure(session, context.caller.tenant, name)
        if found is None:
            raise _unknown(name)
        version, known = found
        there = frozenset(known)
        new = [concept for concept in concepts if concept not in there]
        if len(known) + len(new) > MOST_CONCEPTS:
            raise Unprocessable(f"A closure table holds {MOST_CONCEPTS:,} concepts at most.", code="too-costly")
        if not new:
            return version, []
        pairs = await put(context, partial(_close, known, new))
        if await context.persist(partial(_extend, context, name, version, new, pairs)):
            return version + 1, pairs
    raise Conflict(f"The closure table {name} was changed again and again at the same time.")


def _close(known: list[Concept], new: list[Concept], terms: Known) -> list[Pair]:
    return terms.terminology.close(known, new)


async def _extend(
    context: ServerContext, name: str, version: int, new: list[Concept], pairs: list[Pair], session: Session
) -> bool:
    return await extend_closure(session, context.caller.tenant, name, version, new, pairs)


CLOSURE = BuiltIn(definition_of("ConceptMap-closure", affects_state=True), _closure)
