"""transaction, https://hl7.org/fhir/R4/http.html#transaction: all entries or none.

The plot: parse every entry, take the locks of the conditions, find what the conditions mean, give out ids, resolve
references, lock the rows to be replaced in sorted order, write once, then read. Each scene tells all that is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import FhirError, InvalidRequest, NotFound
from fhir_server.interactions import history_instance, read, search_type, vread
from fhir_server.interactions.bundle import make_bundle
from fhir_server.interactions.conditions import check_condition, check_preconditions, parse_condition
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.create import answer_change
from fhir_server.interactions.current import check_still_there, check_writable, later
from fhir_server.interactions.entries import Entry, entry_expression, parse_entries, response_entry
from fhir_server.interactions.failures import Refusals
from fhir_server.interactions.prepare import prepare_delete, prepare_write, require_grant
from fhir_server.interactions.references import replacer, rewrite
from fhir_server.interactions.request import Answer, Request
from fhir_server.interactions.resolve import give_ids, resolve_conditions, resolve_references
from fhir_server.interactions.step import WRITES, Query, Step
from fhir_server.interactions.update import check_matched
from fhir_server.store.database import Session
from fhir_server.store.read import lock
from fhir_server.store.write import write

READS: dict[str, Callable[[Context, Session, Request], Awaitable[Answer]]] = {
    "read": read.run,
    "vread": vread.run,
    "history-instance": history_instance.run,
    "search-type": search_type.run,
}


def _condition(entry: Entry) -> Query | None:
    request = entry.request
    if request.target.code == "create" and request.conditions.if_none_exist is not None:
        return parse_condition(request.conditions.if_none_exist, str(request.target.resource_type), "ifNoneExist")
    if request.target.code in ("update", "delete") and request.target.id is None:
        return check_condition(request.target.query, "The condition in the URL")
    return None


def _steps(context: Context, bundle: dict[str, Any]) -> list[Step]:
    """Parse all entries and check what needs no database."""
    steps: list[Step] = []
    refusals = Refusals()
    for number, parsed in enumerate(parse_entries(bundle)):
        with refusals.at(entry_expression(number)):
            if isinstance(parsed, FhirError):
                raise parsed
            target = parsed.request.target
            if target.code in WRITES:
                require_grant(context.caller, WRITES[target.code], str(target.resource_type))
            elif target.code not in READS:
                raise InvalidRequest(f"{target.code} can't be part of a transaction.", code="not-supported")
            steps.append(Step(parsed, _condition(parsed)))
    refusals.settle()
    return steps


async def _lock_current(context: Context, session: Session, steps: Sequence[Step]) -> None:
    ids: dict[str, set[str]] = defaultdict(set)
    for step in steps:
        if step.id is not None and (step.code != "create" or step.exists):
            ids[step.resource_type].add(step.id)
    versions = {t: await lock(session, context.caller.tenant, t, ids[t]) for t in sorted(ids)}
    for step in steps:
        step.current = versions.get(step.resource_type, {}).get(step.id or "")
        if step.exists:
            check_still_there(step.resource_type, step.current)


def _prepare(context: Context, step: Step) -> None:
    """Make the step's change."""
    if step.code == "create":
        _prepare_content(context, step, "C")
        return
    if step.condition is not None:
        if step.code == "update":
            check_matched(step.resource_type, step.matched, step.current)
        else:
            check_still_there(step.resource_type, step.current)
    check_writable(context, WRITES[step.code], step.resource_type, step.current)
    check_preconditions(step.entry.request.conditions, step.current)
    if step.code == "update":
        _prepare_content(context, step, "U")
    elif step.current is None:
        raise NotFound(f"{step.resource_type}/{step.id} is not known.")
    elif step.current.content is not None:
        step.change = prepare_delete(step.resource_type, step.current, context.now)


def _prepare_content(context: Context, step: Step, method: str) -> None:
    resource = step.entry.request.resource
    if resource is not None and step.id is not None:
        step.change = prepare_write(
            context.caller, resource, step.id, context.now, replaces=step.current, method=method
        )


async def _answer(context: Context, session: Session, step: Step) -> Answer:
    reader = READS.get(step.code)
    if reader is not None:
        return await reader(context, session, step.entry.request)
    if step.change is not None and step.change.method != "D":
        return answer_change(step.change)
    return step.answer_unwritten()


async def apply(context: Context, session: Session, bundle: dict[str, Any]) -> list[Answer]:
    """Run a transaction Bundle in the session's transaction; returns one answer an entry, in order.

    References in ``bundle`` are rewritten in place. Raises FhirError with all that is wrong, placed by entry.
    """
    steps = _steps(context, bundle)
    await resolve_conditions(context, session, steps)
    addresses = give_ids(steps)
    addresses |= await resolve_references(context, session, steps)
    await _lock_current(context, session, steps)
    context = replace(context, now=later(context.now, *(s.current for s in steps)))
    refusals = Refusals()
    for step in steps:
        if step.writes:
            with refusals.at(step.entry.expression):
                if step.entry.request.resource is not None:
                    rewrite(step.entry.request.resource, replacer(addresses, step.entry.full_url))
                _prepare(context, step)
    refusals.settle()
    # Sorted, so that Bundles which give the same ids to new resources wait for each other in one order.
    changes = sorted((s.change for s in steps if s.change is not None), key=lambda c: c.id)
    await write(session, context.caller.tenant, changes)
    answers = []
    for step in steps:
        with refusals.at(step.entry.expression):
            answers.append(await _answer(context, session, step))
    refusals.settle()
    return answers


async def run(context: Context, session: Session, bundle: dict[str, Any], *, representation: bool = False) -> Answer:
    """Run a transaction Bundle and return its transaction-response."""
    answers = await apply(context, session, bundle)
    entries = [
        response_entry(a, representation=representation or e["request"]["method"] in ("GET", "HEAD"))
        for a, e in zip(answers, bundle.get("entry", []), strict=True)
    ]
    return Answer(200, make_bundle("transaction-response", format_instant(context.now), [], entries))
