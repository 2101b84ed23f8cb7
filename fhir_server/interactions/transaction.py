"""transaction, https://hl7.org/fhir/R4/http.html#transaction: all entries or none.

The plot: parse every entry, take the locks of the conditions, find what the conditions mean, give out ids, rewrite
references, lock the rows to be replaced in sorted order, write once, then read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from conformance.issues import Issue
from fhir_server.errors import FhirError, InvalidRequest, NotFound, PreconditionFailed
from fhir_server.interactions import read as read_interaction
from fhir_server.interactions import history_instance, search_type, vread
from fhir_server.interactions.bundle import make_bundle
from fhir_server.interactions.conditions import (
    check_condition,
    check_if_match,
    condition_lock,
    find_one,
    parse_condition,
    take_locks,
)
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.create import answer_change
from fhir_server.interactions.entries import Entry, locate, parse_entries, response_entry
from fhir_server.interactions.prepare import prepare_delete, prepare_write, require_grant
from fhir_server.interactions.references import is_conditional, references_of, replacer, rewrite
from fhir_server.interactions.request import Answer
from fhir_server.interactions.update import check_body_id, check_writable
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id
from fhir_server.store.read import Version, lock
from fhir_server.store.write import Change, write

READS = {
    "read": read_interaction.run,
    "vread": vread.run,
    "history-instance": history_instance.run,
    "search-type": search_type.run,
}
WRITES = ("create", "update", "delete")
Query = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Step:
    """An entry on its way: the id it writes to, what it replaces, whether it finds its resource there already."""

    entry: Entry
    condition: Query | None
    id: str | None = None
    exists: bool = False  # a conditional create found its match: nothing to write
    absent: bool = False  # a conditional delete found nothing
    current: Version | None = None
    change: Change | None = None

    @property
    def resource_type(self) -> str:
        """The type the entry is about."""
        return str(self.entry.request.target.resource_type)


def _condition(entry: Entry) -> Query | None:
    request = entry.request
    if request.target.code == "create" and request.conditions.if_none_exist is not None:
        return parse_condition(request.conditions.if_none_exist, "ifNoneExist")
    if request.target.code in ("update", "delete") and request.target.id is None:
        return check_condition(request.target.query, "The condition in the URL")
    return None


def _steps(context: Context, bundle: dict[str, Any]) -> list[Step]:
    """Parse all entries and check what needs no database; raises one error with every issue."""
    steps: list[Step] = []
    issues: list[Issue] = []
    worst: FhirError | None = None
    for parsed in parse_entries(bundle):
        try:
            if isinstance(parsed, FhirError):
                raise parsed
            target = parsed.request.target
            if target.code not in READS and target.code not in WRITES:
                raise InvalidRequest(f"{target.code} can't be part of a transaction.", code="not-supported")
            if target.code in WRITES:
                require_grant(context.caller, target.code, str(target.resource_type))  # type: ignore[arg-type]
            steps.append(Step(parsed, _condition(parsed)))
        except FhirError as error:
            located = error if isinstance(parsed, FhirError) else locate(error, parsed.expression)
            worst = worst or located
            issues += located.issues
    if worst is not None:
        worst.issues = issues
        raise worst
    return steps


def _conditional_references(steps: Sequence[Step]) -> dict[str, str]:
    """Return each conditional reference with the expression of the first entry that uses it."""
    found: dict[str, str] = {}
    for step in steps:
        if step.entry.request.resource is not None:
            for reference in references_of(step.entry.request.resource):
                if "?" in reference and reference not in found and is_conditional(reference):
                    found[reference] = step.entry.expression
    return found


async def _resolve_references(context: Context, session: Session, references: dict[str, str]) -> dict[str, str]:
    addresses: dict[str, str] = {}
    for reference, expression in references.items():
        resource_type = reference.partition("?")[0]
        what = f"The reference {reference[:200]}"
        try:
            id_ = await find_one(session, context.caller, resource_type, parse_condition(reference, what), what)
            if id_ is None:
                raise PreconditionFailed(f"{what} matches nothing.", code="not-found")
        except FhirError as error:
            raise locate(error, expression) from error
        addresses[reference] = f"{resource_type}/{id_}"
    return addresses


async def _resolve_conditions(context: Context, session: Session, steps: Sequence[Step]) -> None:
    conditional = [s for s in steps if s.condition is not None]
    tenant = context.caller.tenant
    await take_locks(session, [condition_lock(tenant, s.resource_type, s.condition or ()) for s in conditional])
    for step in conditional:
        try:
            step.id = await find_one(
                session, context.caller, step.resource_type, step.condition or (), "The entry's condition"
            )
        except FhirError as error:
            raise locate(error, step.entry.expression) from error
        code = step.entry.request.target.code
        step.exists = code == "create" and step.id is not None
        step.absent = code == "delete" and step.id is None


def _give_ids(steps: Sequence[Step]) -> dict[str, str]:
    """Give every written entry its id; return full URL → address. Raises when two entries write one resource."""
    addresses: dict[str, str] = {}
    written: dict[str, int] = {}
    for step in steps:
        request = step.entry.request
        if request.target.code not in WRITES or step.absent:
            continue
        if step.id is None:
            own = (request.resource or {}).get("id") if request.target.code == "update" else None
            step.id = request.target.id or own or new_id()
        elif request.target.code == "update" and request.resource is not None:
            if request.resource.get("id", step.id) != step.id:
                raise InvalidRequest(
                    f"The resource's id {request.resource['id']} is not that of the match, {step.id}.",
                    code="value",
                    expression=f"{step.entry.expression}.resource.id",
                )
        if request.target.code == "update" and request.target.id is not None and request.resource is not None:
            try:
                check_body_id(request.resource, step.id)
            except FhirError as error:
                raise locate(error, step.entry.expression) from error
        address = f"{step.resource_type}/{step.id}"
        if address in written and not step.exists:
            raise InvalidRequest(
                f"Entries {written[address]} and {step.entry.number} both write {address}.",
                code="duplicate",
                expression=step.entry.expression,
            )
        if not step.exists:
            written[address] = step.entry.number
        full_url = step.entry.full_url
        if full_url is not None and request.target.code != "delete":
            if addresses.get(full_url, address) != address:
                raise InvalidRequest(
                    f"The fullUrl {full_url} occurs twice.", code="duplicate", expression=f"{step.entry.expression}.fullUrl"
                )
            addresses[full_url] = address
    return addresses


async def _lock_current(context: Context, session: Session, steps: Sequence[Step]) -> None:
    ids: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        if step.entry.request.target.code in ("update", "delete") and step.id is not None:
            ids[step.resource_type].append(step.id)
        elif step.exists:
            ids[step.resource_type].append(str(step.id))
    versions = {t: await lock(session, context.caller.tenant, t, ids[t]) for t in sorted(ids)}
    for step in steps:
        step.current = versions.get(step.resource_type, {}).get(step.id or "")


def _prepare(context: Context, step: Step) -> None:
    """Make the step's change."""
    request = step.entry.request
    code = request.target.code
    if code not in WRITES or step.exists or step.absent:
        return
    if code != "create":
        check_if_match(request.conditions, step.current)
        check_writable(context, step.resource_type, step.current)
    if code == "delete":
        if step.current is None:
            raise NotFound(f"{step.resource_type}/{step.id} is not known.")
        if step.current.content is not None:
            step.change = prepare_delete(step.resource_type, step.current, context.now)
    elif request.resource is not None and step.id is not None:
        replaces = step.current if code == "update" else None
        step.change = prepare_write(
            context.caller, request.resource, step.id, context.now, replaces=replaces, method="C" if code == "create" else "U"
        )


def _answer(step: Step) -> Answer:
    if step.change is not None and step.change.method != "D":
        return answer_change(step.change)
    if step.exists and step.current is not None:
        found = step.current
        return Answer(200, found.content, step.resource_type, step.id, found.version, found.last_updated)
    return Answer(204, resource_type=step.resource_type, id=step.id, version=step.change.version if step.change else None)


async def apply(context: Context, session: Session, bundle: dict[str, Any]) -> list[Answer]:
    """Run a transaction Bundle in the session's transaction; returns one answer an entry, in order."""
    steps = _steps(context, bundle)
    await _resolve_conditions(context, session, steps)
    addresses = await _resolve_references(context, session, _conditional_references(steps))
    addresses |= _give_ids(steps)
    await _lock_current(context, session, steps)
    for step in steps:
        try:
            if step.entry.request.resource is not None:
                rewrite(step.entry.request.resource, replacer(addresses, step.entry.full_url))
            _prepare(context, step)
        except FhirError as error:
            raise locate(error, step.entry.expression) from error
    await write(session, context.caller.tenant, [s.change for s in steps if s.change is not None])
    answers = []
    for step in steps:
        reader = READS.get(step.entry.request.target.code)
        try:
            answers.append(_answer(step) if reader is None else await reader(context, session, step.entry.request))
        except FhirError as error:
            raise locate(error, step.entry.expression) from error
    return answers


async def run(context: Context, session: Session, bundle: dict[str, Any], *, representation: bool = False) -> Answer:
    """Run a transaction Bundle and return its transaction-response."""
    answers = await apply(context, session, bundle)
    entries = [
        response_entry(a, representation=representation or e["request"]["method"] in ("GET", "HEAD"))
        for a, e in zip(answers, bundle.get("entry", []), strict=True)
    ]
    return Answer(200, make_bundle("transaction-response", format_instant(context.now), [], entries))
