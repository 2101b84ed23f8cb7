"""transaction, https://hl7.org/fhir/R4/http.html#transaction: all entries or none.

The plot: parse every entry, take the locks of the conditions, find what the conditions mean, give out ids, lock the
rows to be replaced in sorted order, apply patches, resolve references, write once, then read. No entry sees what
another writes before the reads, so the specification's order (DELETE, POST, PUT and PATCH, GET and HEAD) holds
wherever the entries stand. Each scene tells all that is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import FhirError, InvalidRequest, NotFound
from fhir_server.interactions import history, read, search_compartment, search_system, search_type, vread
from fhir_server.interactions.bundle import make_bundle
from fhir_server.interactions.commit import write_changes
from fhir_server.interactions.conditions import (
    check_condition,
    check_preconditions,
    check_unchanged,
    parse_condition,
)
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.current import check_writable, later
from fhir_server.interactions.entries import Entry, entry_expression, parse_entries, response_entry
from fhir_server.interactions.failures import Refusals
from fhir_server.interactions.patch import apply_to, check_patchable
from fhir_server.interactions.prepare import prepare_delete, prepare_write, require_grant
from fhir_server.interactions.references import is_closed, replacer, rewrite
from fhir_server.interactions.request import SEARCHES, WRITES, Answer, Conditions, Request
from fhir_server.interactions.resolve import give_ids, resolve_conditions, resolve_references
from fhir_server.interactions.save import answer_change, without_unreadable
from fhir_server.interactions.step import Query, Step
from fhir_server.interactions.update import check_matched
from fhir_server.interactions.validate import find_issues, require_valid
from fhir_server.store.database import Session
from fhir_server.store.read import lock
from fhir_server.store.write import Change

READS: dict[str, Callable[[Context, Session, Request], Awaitable[Answer]]] = {
    "read": read.run,
    "vread": vread.run,
    "history-instance": history.run,
    "history-type": history.run,
    "history-system": history.run,
    "search-type": search_type.run,
    "search-system": search_system.run,
    "search-compartment": search_compartment.run,
}


def _condition(entry: Entry) -> Query | None:
    request = entry.request
    if request.target.code == "create" and request.conditions.if_none_exist is not None:
        return parse_condition(request.conditions.if_none_exist, str(request.target.resource_type), "ifNoneExist")
    if request.target.code in ("update", "patch", "delete") and request.target.id is None:
        return check_condition(request.target.query, "The condition in the URL")
    return None


def _steps(context: Context, bundle: dict[str, Any], *, strict: bool) -> list[Step]:
    """Parse all entries and check what needs no database."""
    steps: list[Step] = []
    refusals = Refusals()
    for number, parsed in enumerate(parse_entries(bundle, strict=strict)):
        with refusals.at(entry_expression(number)):
            if isinstance(parsed, FhirError):
                raise parsed
            target = parsed.request.target
            if target.code in WRITES:
                require_grant(context.caller, WRITES[target.code], str(target.resource_type))
            elif target.code not in READS:
                raise InvalidRequest(f"{target.code} can't be part of a transaction.", code="not-supported")
            sent = None if target.code == "patch" else parsed.request.resource
            steps.append(Step(parsed, _condition(parsed), resource=sent))
    refusals.settle()
    return steps


async def _lock_current(context: Context, session: Session, steps: Sequence[Step]) -> None:
    ids: dict[str, set[str]] = defaultdict(set)
    for step in steps:
        if step.code != "create" or step.exists:
            ids[step.resource_type].update(step.ids)
    versions = {t: await lock(session, context.caller.tenant, t, ids[t]) for t in sorted(ids) if ids[t]}
    for step in steps:
        step.current = versions.get(step.resource_type, {})
        # An update's match is checked with its own id, which may differ.
        for match in step.matches if step.code != "update" else ():
            check_unchanged(step.resource_type, match, step.current.get(match.id))


def _apply_patches(context: Context, steps: Sequence[Step]) -> None:
    refusals = Refusals()
    for step in steps:
        if step.code == "patch":
            with refusals.at(step.entry.expression):
                current = check_patchable(context, step.resource_type, step.id, step.version)
                check_preconditions(step.entry.request.conditions, current)
                step.resource = apply_to(current, step.resource_type, step.entry.request)
    refusals.settle()


def _prepare(context: Context, step: Step) -> None:
    """Make the step's changes."""
    if step.code == "delete":
        _prepare_deletions(context, step)
        return
    if step.code == "update":
        if step.condition is not None:
            check_matched(step.resource_type, step.match, step.version)
        check_writable(context, "update", step.resource_type, step.version)
        check_preconditions(step.entry.request.conditions, step.version)
    if step.resource is not None:
        replaces, method = (None, "C") if step.code == "create" else (step.version, "U")
        step.changes.append(
            prepare_write(context, step.resource, step.id, context.now, replaces=replaces, method=method)
        )


def _prepare_deletions(context: Context, step: Step) -> None:
    for id_ in step.ids:
        current = step.current.get(id_)
        if current is None:
            raise NotFound(f"{step.resource_type}/{id_} is not known.")
        check_writable(context, "delete", step.resource_type, current)
        check_preconditions(step.entry.request.conditions, current)
        if current.content is not None:
            step.changes.append(prepare_delete(step.resource_type, current, context.now))


async def _validate(context: Context, session: Session, steps: Sequence[Step]) -> None:
    """Hold what is about to be written to the server's policy."""
    written = [(step, step.resource) for step in steps if step.changes and step.resource is not None]
    size = sum(len(change.content or b"") for step, _ in written for change in step.changes)
    found = await find_issues(context, session, [resource for _, resource in written], size)
    refusals = Refusals()
    for (step, resource), issues in zip(written, found, strict=True):
        if issues:
            with refusals.at(step.entry.expression):
                step.issues = require_valid(context, resource, issues)
    refusals.settle()


async def _answer(context: Context, session: Session, step: Step) -> Answer:
    reader = READS.get(step.code)
    if reader is not None:
        if step.code in SEARCHES:
            await session.plan_by_value()
        return await reader(context, session, step.entry.request)
    if step.code in ("create", "update", "patch") and step.changes:
        answer = answer_change(step.changes[0])
        answer.issues = step.issues
        return without_unreadable(context, answer) if step.code == "patch" else answer
    return without_unreadable(context, step.answer_unwritten())


async def apply(
    context: Context, session: Session, bundle: dict[str, Any], *, strict: bool = False
) -> list[tuple[Step, Answer]]:
    """Run a transaction Bundle in the session's transaction; returns each entry with its answer, in order.

    References in ``bundle`` are rewritten in place. Raises FhirError with all that is wrong, placed by entry.
    """
    steps = _steps(context, bundle, strict=strict)
    await resolve_conditions(context, session, steps)
    addresses = give_ids(steps)
    await _lock_current(context, session, steps)
    _apply_patches(context, steps)
    addresses |= await resolve_references(context, session, steps, addresses)
    context = replace(context, now=later(context.now, *(s.current.get(i) for s in steps for i in s.ids)))
    refusals = Refusals()
    for step in steps:
        if step.writes:
            with refusals.at(step.entry.expression):
                if step.resource is not None:
                    rewrite(step.resource, replacer(addresses, step.entry.full_url), context.base_url)
                _prepare(context, step)
    refusals.settle()
    await _validate(context, session, steps)
    # Sorted, so that Bundles which give the same ids to new resources wait for each other in one order.
    changes = sorted((c for s in steps for c in s.changes), key=lambda c: c.id)
    places = {f"{c.resource_type}/{c.id}": s.entry.expression for s in steps for c in s.changes}
    await write_changes(context, session, changes, places)
    answers = []
    for step in steps:
        with refusals.at(step.entry.expression):
            answers.append((step, await _answer(context, session, step)))
    refusals.settle()
    return answers


def plan_new(context: Context, bundle: dict[str, Any]) -> list[Change] | None:
    """Return the changes of a Bundle that asks nothing of what is stored and changes none of it, for bulk loads.

    None for any other: one with conditions, conditional references, or entries that aren't creates or updates. References are
    rewritten in place. That nothing is stored yet under the ids remains to be seen. Raises FhirError with all that is wrong.
    """
    steps = _steps(context, bundle, strict=False)
    for step in steps:
        if (
            step.code not in ("create", "update")
            or step.condition is not None
            or step.entry.request.conditions != Conditions()
        ):
            return None
    addresses = give_ids(steps)
    for step in steps:
        if not is_closed(step.resource, addresses, context.base_url):
            return None
    for step in steps:
        rewrite(step.resource, replacer(addresses, step.entry.full_url), context.base_url)
        _prepare(context, step)
    return sorted((c for s in steps for c in s.changes), key=lambda c: c.id)


async def run(
    context: Context, session: Session, bundle: dict[str, Any], *, representation: bool = False, strict: bool = False
) -> Answer:
    """Run a transaction Bundle and return its transaction-response; ``strict`` searches refuse what they don't know."""
    answers = await apply(context, session, bundle, strict=strict)
    entries = [response_entry(step.entry, answer, representation=representation) for step, answer in answers]
    return Answer(200, make_bundle("transaction-response", format_instant(context.now), [], entries))
