"""What a transaction's conditions and references stand for, https://hl7.org/fhir/R4/http.html#trules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fhir_server.errors import InvalidRequest, PreconditionFailed
from fhir_server.interactions.conditions import condition_lock, find_one, parse_condition, take_locks
from fhir_server.interactions.context import Context
from fhir_server.interactions.failures import Refusals
from fhir_server.interactions.references import is_conditional, references_of
from fhir_server.interactions.step import WRITES, Query, Step
from fhir_server.interactions.update import check_body_id, choose_id
from fhir_server.search.index import index
from fhir_server.search.match import matches
from fhir_server.store.database import Session
from fhir_server.store.entries import IndexEntries
from fhir_server.store.keys import new_id

# Conditional references that match nothing stored are tried on this many entries in all.
MAX_TRIALS = 100_000


async def resolve_conditions(context: Context, session: Session, steps: Sequence[Step]) -> None:
    """Find what each condition matches, under locks that make equal conditions of other requests wait."""
    conditional = [(s, s.condition) for s in steps if s.condition is not None]
    tenant = context.caller.tenant
    await take_locks(session, [condition_lock(tenant, s.resource_type, query) for s, query in conditional])
    refusals = Refusals()
    first: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
    for step, query in conditional:
        with refusals.at(step.entry.expression):
            step.matched = await find_one(session, context.caller, step.resource_type, query, "The entry's condition")
            if step.matched is None and step.code != "delete":
                other = first.setdefault((step.resource_type, tuple(sorted(query))), step.entry.number)
                if other != step.entry.number:
                    raise InvalidRequest(
                        f"Entries {other} and {step.entry.number} both make a resource for one condition.",
                        code="duplicate",
                    )
    refusals.settle()


def give_ids(steps: Sequence[Step]) -> dict[str, str]:
    """Give every write its id; return full URL → address. Refuses two entries that write one resource."""
    addresses: dict[str, str] = {}
    written: dict[str, int] = {}
    refusals = Refusals()
    for step in steps:
        if step.code in WRITES and not step.absent:
            with refusals.at(step.entry.expression):
                step.id = _choose_id(step)
                address = f"{step.resource_type}/{step.id}"
                if step.writes and written.setdefault(address, step.entry.number) != step.entry.number:
                    raise InvalidRequest(
                        f"Entries {written[address]} and {step.entry.number} both write {address}.", code="duplicate"
                    )
                _give_address(step, address, addresses)
    for step in steps:
        if step.exists:
            with refusals.at(step.entry.expression):
                other = written.get(f"{step.resource_type}/{step.id}")
                if other is not None:
                    raise InvalidRequest(
                        f"Entry {other} writes {step.resource_type}/{step.id}, which this entry's condition matches.",
                        code="duplicate",
                    )
    refusals.settle()
    return addresses


def _choose_id(step: Step) -> str:
    request = step.entry.request
    if step.code != "update" or request.resource is None:
        return step.matched or request.target.id or new_id()
    if request.target.id is None:
        return choose_id(request.resource, step.matched)
    check_body_id(request.resource, request.target.id)
    return request.target.id


def _give_address(step: Step, address: str, addresses: dict[str, str]) -> None:
    full_url = step.entry.full_url
    if full_url is not None and step.code != "delete" and addresses.setdefault(full_url, address) != address:
        raise InvalidRequest(
            f"The fullUrl {full_url[:200]} occurs twice.",
            code="duplicate",
            expression=f"{step.entry.expression}.fullUrl",
        )


async def resolve_references(context: Context, session: Session, steps: Sequence[Step]) -> dict[str, str]:
    """Return the address that each conditional reference stands for: of a stored resource, else of one in the Bundle."""
    used: dict[str, str] = {}
    for step in steps:
        if step.entry.request.resource is not None:
            for reference in references_of(step.entry.request.resource):
                if "?" in reference and is_conditional(reference):
                    used.setdefault(reference, step.entry.expression)
    addresses: dict[str, str] = {}
    siblings = _Siblings(steps, context.caller.tenant)
    refusals = Refusals()
    for reference, expression in used.items():
        resource_type, what = reference.partition("?")[0], f"The reference {reference[:200]}"
        with refusals.at(expression):
            query = parse_condition(reference, resource_type, what)
            id_ = await find_one(session, context.caller, resource_type, query, what)
            addresses[reference] = f"{resource_type}/{id_ or siblings.find_one(resource_type, query, what)}"
    refusals.settle()
    return addresses


class _Siblings:
    """The resources that the Bundle itself writes, for conditional references that match nothing stored."""

    def __init__(self, steps: Sequence[Step], tenant: int) -> None:
        self._tenant = tenant
        self._trials = 0
        self._steps: dict[str, list[Step]] = defaultdict(list)
        self._entries: dict[int, IndexEntries] = {}
        for step in steps:
            if step.writes and step.entry.request.resource is not None:
                self._steps[step.resource_type].append(step)

    def find_one(self, resource_type: str, query: Query, what: str) -> str:
        """Return the id of the one resource that matches; raises PreconditionFailed for none or several."""
        candidates = self._steps[resource_type]
        self._trials += len(candidates)
        if self._trials > MAX_TRIALS:
            raise InvalidRequest("The Bundle has too many conditional references.", code="too-costly")
        found = [step for step in candidates if self._matches(step, query)]
        if len(found) > 1:
            raise PreconditionFailed(f"{what} matches several resources.", code="multiple-matches")
        if not found:
            raise PreconditionFailed(f"{what} matches nothing.", code="not-found")
        return str(found[0].id)

    def _matches(self, step: Step, query: Query) -> bool:
        resource, number = step.entry.request.resource or {}, step.entry.number
        if number not in self._entries:
            self._entries[number] = index(step.resource_type, resource, self._tenant)
        return matches(step.resource_type, resource, query, self._tenant, entries=self._entries[number])
