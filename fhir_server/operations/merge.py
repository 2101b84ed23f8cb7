"""Patient/$merge: one Patient takes the place of its duplicate, https://build.fhir.org/patient-operation-merge.html (draft).

The plot, in one transaction: keep other merges out, find and lock both Patients, mark the source replaced, find all that
refers to it and repoint that, look again until nothing is left, and store a Provenance that names every change with the
version before.

What is guaranteed: every reference committed before the last look began leads to the target. The transaction reads what is
committed (READ COMMITTED), so each look sees what others wrote since the one before, and what was found is locked. A writer
that commits later still may refer to the source, as it may any time after the merge: the source then stands, inactive, with a
link to the target. Shutting that out would need a lock that every write takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from conformance.decode import decode
from conformance.definitions import resource_types
from conformance.issues import Issue, operation_outcome
from fhir_server.errors import InvalidRequest, Unprocessable
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.definitions import load
from fhir_server.operations.links import instant_text
from fhir_server.operations.merge_content import merged_source, merged_target, provenance_of, repointed
from fhir_server.operations.merge_patients import Pair, find_patients
from fhir_server.operations.parameters import value
from fhir_server.store.database import Session
from fhir_server.store.locks import take_lock
from fhir_server.store.mentions import find_mentions
from fhir_server.store.occupied import occupied
from fhir_server.store.read import Version, lock
from fhir_server.store.write import Change

MOST = 5000
"""Resources that one merge may change, beside source and target."""
MOST_ROUNDS = 10
"""Looks for references to the source; each but the first only finds what was committed during the one before."""
_OWN = 2
"""Source and target."""

_NOT_CHANGED = frozenset(("AuditEvent",))
"""What records who did what to whom at the time stays as it is."""

Update = tuple[Resource, Version]
Address = tuple[str, str]


def _check(pair: Pair) -> None:
    """Raise Unprocessable when one of the Patients was merged into another already, or the target is not in use."""
    for name, patient in (("source", pair.source), ("target", pair.target)):
        replaced = [link for link in patient.get("link", ()) if link.get("type") == "replaced-by"]
        if replaced:
            other = replaced[0].get("other", {}).get("reference", "another")
            raise Unprocessable(
                f"The {name} Patient/{patient['id']} was replaced by {other} already.", code="business-rule"
            )
    if pair.target.get("active") is False:
        raise Unprocessable(f"The target Patient/{pair.target['id']} is not active.", code="business-rule")


def _check_result(result: Resource | None, pair: Pair) -> None:
    if result is not None and result.get("id") != pair.target["id"]:
        raise InvalidRequest(
            f"result-patient must have the target's id, {pair.target['id']}.", code="value", expression="Patient.id"
        )


async def _referring(
    context: ServerContext, session: Session, source: str, seen: set[Address]
) -> Mapping[str, Mapping[str, Version]]:
    """Return and lock, by type and id, what holds a reference to the source and wasn't ``seen``, which it is from then on.

    Raises Unprocessable when it is too much.
    """
    tenant = context.caller.tenant
    present = await occupied(session, tenant, [t for t in resource_types() if t not in _NOT_CHANGED])
    found = await find_mentions(session, tenant, present, f'Patient/{source}"'.encode(), MOST + len(seen) + 1)
    fresh = {name: [id_ for id_ in ids if (name, id_) not in seen] for name, ids in sorted(found.items())}
    seen.update((name, id_) for name, ids in fresh.items() for id_ in ids)
    if len(seen) > MOST + _OWN:
        raise Unprocessable(
            f"More than {MOST:,} resources refer to Patient/{source}; a merge changes all or none in one request.",
            code="too-costly",
        )
    return {name: await lock(session, tenant, name, ids) for name, ids in fresh.items() if ids}


def _repoint(referring: Mapping[str, Mapping[str, Version]], pair: Pair, base_url: str) -> Iterator[Update]:
    """Yield the new content of everything that refers to the source, with the version it replaces."""
    source, target = f"Patient/{pair.source['id']}", f"Patient/{pair.target['id']}"
    for resource_type, versions in referring.items():
        for version in versions.values():
            if version.content is None:
                continue
            resource = decode(version.content, resource_type)
            changed = repointed(resource, {source: target, f"{base_url}/{source}": target})
            if changed != resource:
                yield changed, version


async def _rounds(
    context: ServerContext, session: Session, pair: Pair, result: Resource | None
) -> AsyncIterator[list[Update]]:
    """Yield what the merge changes: source and target, then round by round what refers to the source.

    Each round is to be stored before the next is asked for, which then finds what others committed meanwhile.
    """
    yield [
        (merged_source(pair.source, pair.target), pair.source_version),
        (merged_target(pair.source, pair.target, result), pair.target_version),
    ]
    seen = {("Patient", pair.source["id"]), ("Patient", pair.target["id"])}
    for _ in range(MOST_ROUNDS):
        referring = await _referring(context, session, pair.source["id"], seen)
        updates = list(_repoint(referring, pair, context.base_url))
        if not updates:
            return
        yield updates


def _answer(source: str, count: int, result: Resource, provenance: Change | None) -> Resource:
    """Return the output; ``count`` is of all that is changed, source and target included."""
    done = "would be" if provenance is None else "were"
    text = f"{count - _OWN} resources that referred to Patient/{source} {done} changed."
    parameters: list[dict[str, Any]] = [
        {"name": "outcome", "resource": operation_outcome([Issue("information", "informational", text)])},
        {"name": "result", "resource": result},
    ]
    if provenance is not None:
        parameters.append({"name": "provenance", "valueReference": {"reference": f"Provenance/{provenance.id}"}})
    return {"resourceType": "Parameters", "parameter": parameters}


async def merge(invocation: Invocation, context: ServerContext) -> Resource:
    """Merge, or with ``preview`` tell what that would change.

    Raises NotFound, InvalidRequest or Unprocessable for Patients that can't be merged, Forbidden unless the caller may
    update everything that refers to the source.
    """
    given = invocation.parameters
    context.require("read", "Patient")
    preview, result = bool(value(given, "preview")), value(given, "result-patient")

    async def attempt(session: Session) -> Resource:
        # One merge at a time: what it finds and what it locks is too much to be ordered between several.
        await take_lock(session, context.caller.tenant, "merge")
        pair = await find_patients(given, context, session)
        _check(pair)
        _check_result(result, pair)
        source, changes = pair.source["id"], list[Change]()
        async for updates in _rounds(context, session, pair, result):
            changed = context.prepare(updates)
            if not preview:
                await context.store(session, changed)
            changes += changed
        merged = decode(changes[1].content or b"", "Patient")
        if preview:
            return _answer(source, len(changes), merged, None)
        listed = provenance_of(source, pair.target["id"], changes, context.subject, instant_text(context.now))
        (provenance,) = context.prepare([], [listed])
        await context.store(session, [provenance])
        return _answer(source, len(changes), merged, provenance)

    return await context.persist(attempt)


MERGE = BuiltIn(load("patient-merge"), merge)
