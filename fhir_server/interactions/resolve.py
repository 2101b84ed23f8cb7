"""What a transaction's conditions and references stand for, https://hl7.org/fhir/R4/http.html#trules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from conformance.issues import InvalidResource
from fhir_server.errors import FhirError, InvalidRequest, NotFound, PreconditionFailed
from fhir_server.interactions.conditional_references import find_referenced
from fhir_server.interactions.conditions import condition_lock, find_all, find_one, parse_condition, take_locks
from fhir_server.interactions.context import Context
from fhir_server.interactions.failures import Refusals, at_element
from fhir_server.interactions.references import is_conditional, place_of, references_of, relative
from fhir_server.interactions.request import WRITES
from fhir_server.interactions.step import Query, Step
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
            what = "The entry's condition"
            if step.code == "delete":
                step.matches = await find_all(context, session, step.resource_type, query, what)
                continue
            match = await find_one(context, session, step.resource_type, query, what)
            if match is not None:
                step.matches = (match,)
            elif step.code == "patch":
                raise NotFound(f"{what} matches nothing.")
            else:
                other = first.setdefault((step.resource_type, tuple(sorted(query))), step.entry.number)
                if other != step.entry.number:
                    raise InvalidRequest(
                        f"Entries {other} and {step.entry.number} both make a resource for one condition.",
                        code="duplicate",
                    )
    refusals.settle()


def give_ids(steps: Sequence[Step]) -> dict[str, str]:
    """Give every write its ids; return full URL → address. Refuses two entries that write one resource."""
    addresses: dict[str, str] = {}
    written: dict[str, int] = {}
    refusals = Refusals()
    for step in steps:
        if step.code in WRITES and not step.absent:
            with refusals.at(step.entry.expression):
                step.ids = _choose_ids(step)
                if step.writes:
                    _take_ids(step, written)
                if step.code != "delete":
                    _give_address(step, f"{step.resource_type}/{step.id}", addresses)
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


def _take_ids(step: Step, written: dict[str, int]) -> None:
    for id_ in step.ids:
        address = f"{step.resource_type}/{id_}"
        if written.setdefault(address, step.entry.number) != step.entry.number:
            raise InvalidRequest(
                f"Entries {written[address]} and {step.entry.number} both write {address}.", code="duplicate"
            )


def _choose_ids(step: Step) -> Sequence[str]:
    request = step.entry.request
    if step.code == "update" and request.resource is not None:
        if request.target.id is None:
            return (choose_id(request.resource, step.match and step.match.id),)
        check_body_id(request.resource, request.target.id)
    if step.matches:
        return [match.id for match in step.matches]
    return (request.target.id or new_id(),)


def _give_address(step: Step, address: str, addresses: dict[str, str]) -> None:
    full_url = step.entry.full_url
    if full_url is not None and addresses.setdefault(full_url, address) != address:
        raise InvalidRequest(
            f"The fullUrl {full_url[:200]} occurs twice.",
            code="duplicate",
            expression=f"{step.entry.expression}.fullUrl",
        )


async def resolve_references(
    context: Context, session: Session, steps: Sequence[Step], addresses: Mapping[str, str]
) -> dict[str, str]:
    """Return the address that each conditional reference stands for: of a stored resource, else of one in the Bundle.

    ``addresses`` are those of the entries. Raises InvalidRequest for a reference to a UUID that no entry has, and
    PreconditionFailed for a condition without exactly one match.
    """
    used: dict[str, Step] = {}
    refusals = Refusals()
    for step in steps:
        for reference in references_of(step.resource) if step.resource is not None else ():
            if "?" in reference and is_conditional(reference, context.base_url):
                used.setdefault(reference, step)
            elif reference.startswith("urn:uuid:") and reference.partition("#")[0] not in addresses:
                with refusals.at(step.entry.expression):
                    _refuse_unknown(step, reference)
    found: dict[str, str] = {}
    siblings = _Siblings(steps, context)
    for reference, step in used.items():
        with refusals.at(step.entry.expression):
            try:
                resource_type, id_ = await find_referenced(context, session, reference)
                found[reference] = f"{resource_type}/{id_ or siblings.find_one(resource_type, reference)}"
            except (FhirError, InvalidResource) as error:
                raise at_element(error, place_of(step.resource or {}, reference)) from error
    refusals.settle()
    return found


def _refuse_unknown(step: Step, reference: str) -> None:
    expression = place_of(step.resource or {}, reference)
    if expression is not None:  # inside a Bundle that is an entry's resource, such references are its own affair
        raise InvalidRequest(
            f"No entry of the transaction has the fullUrl {reference[:200]}.", code="not-found", expression=expression
        )


class _Siblings:
    """The resources that the Bundle itself writes, for conditional references that match nothing stored."""

    def __init__(self, steps: Sequence[Step], context: Context) -> None:
        self._context = context
        self._trials = 0
        self._steps: dict[str, list[Step]] = defaultdict(list)
        self._entries: dict[int, IndexEntries] = {}
        for step in steps:
            if step.writes and step.resource is not None:
                self._steps[step.resource_type].append(step)

    def find_one(self, resource_type: str, reference: str) -> str:
        """Return the id of the one resource that matches; raises PreconditionFailed for none or several."""
        what = f"The reference {reference[:200]}"
        query = parse_condition(relative(reference, self._context.base_url), resource_type, what)
        candidates = self._steps[resource_type]
        self._trials += len(candidates)
        if self._trials > MAX_TRIALS:
            raise InvalidRequest("The Bundle has too many conditional references.", code="too-costly")
        found = [step for step in candidates if self._matches(step, query)]
        if len(found) > 1:
            raise PreconditionFailed(f"{what} matches several resources.", code="multiple-matches")
        if not found:
            raise PreconditionFailed(f"{what} matches nothing.", code="not-found")
        return found[0].id

    def _matches(self, step: Step, query: Query) -> bool:
        resource, number = step.resource or {}, step.entry.number
        tenant, parameters = self._context.caller.tenant, self._context.parameters
        if number not in self._entries:
            self._entries[number] = index(step.resource_type, resource, tenant, parameters, self._context.base_url)
        return matches(
            step.resource_type,
            resource,
            query,
            tenant,
            entries=self._entries[number],
            parameters=parameters,
            base_url=self._context.base_url,
        )
