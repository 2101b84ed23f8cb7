"""Storing what is new in bulk: units become rows in this process and go to the database with COPY.

It takes what asks nothing of the database, which is nearly all of an export: resources under ids that nothing has yet, and
Bundles of such. What it can't take, or can't judge, it leaves to the ordinary way (``load_work.store``), which knows every rule
and names every fault. So the two can't come to different results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import msgspec

from conformance.decode import decode
from conformance.issues import InvalidResource
from fhir_server.errors import Conflict, FhirError, TimedOut, Unavailable
from fhir_server.interactions.commit import write_new
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import prepare_write
from fhir_server.interactions.references import is_closed
from fhir_server.interactions.transaction import plan_new
from fhir_server.jobs.load_units import Unit, transaction
from fhir_server.jobs.load_work import Stored
from fhir_server.store.keys import new_id
from fhir_server.store.ledger import LedgerEntry, add_to_ledger, find_in_ledger
from fhir_server.store.references import find_taken
from fhir_server.store.texts import add_texts
from fhir_server.store.write import Change

Plan = tuple[Unit, list[Change]]


class _PlainRequest(msgspec.Struct, forbid_unknown_fields=True):
    method: Literal["POST", "PUT"]
    url: str


class _PlainEntry(msgspec.Struct, forbid_unknown_fields=True):
    """An entry that says nothing but what to store where."""

    resource: msgspec.Raw
    request: _PlainRequest


_PLAIN = msgspec.json.Decoder(_PlainEntry)
# Without one of these in its JSON, a resource holds no reference that would have to be looked up.
_MAY_BE_OPEN = (b"?", b"urn:uuid:", b"\\")


async def insert(context: Context, units: Sequence[Unit]) -> Stored:
    """Store those of the units that are new and ask nothing of what is stored; the digests of the others are ``left``.

    Raises Unavailable when the database is gone.
    """
    distinct = {unit.digest: unit for unit in units}
    tenant = context.caller.tenant
    async with context.database.session() as session:
        known = await find_in_ledger(session, tenant, list(distinct))
    plans = [(unit, plan(context, unit)) for digest, unit in distinct.items() if digest not in known]
    left = [unit.digest for unit, changes in plans if changes is None]
    made, repeated = _without_repeated([(unit, changes) for unit, changes in plans if changes is not None])
    left += repeated
    try:
        await _store(context, made)
    except Conflict:
        made, taken = await _without_taken(context, made)
        left += taken
        try:
            await _store(context, made)
        except (Conflict, TimedOut):  # another process was faster once more
            left += [unit.digest for unit, _ in made]
            made = []
    except Unavailable:
        raise
    except FhirError:  # a character that can't be stored, say: the ordinary way finds whose it is
        left += [unit.digest for unit, _ in made]
        made = []
    again = [unit for unit in units if unit.digest in known]
    again += [unit for unit in units if unit is not distinct[unit.digest] and unit.digest not in known]
    return Stored(
        units=len(made),
        entries=sum(unit.entries for unit, _ in made),
        known_units=len(again),
        known_entries=sum(unit.entries for unit in again),
        left=left,
    )


def plan(context: Context, unit: Unit) -> list[Change] | None:
    """Return the changes of a unit, or None when it is not for the bulk way."""
    try:
        if unit.whole:
            return plan_new(context, decode(unit.body, "Bundle"))
        try:
            entry = _PLAIN.decode(unit.body)
        except msgspec.ValidationError:
            return plan_new(context, decode(transaction([unit.body]), "Bundle"))
        return _plan_plain(context, entry)
    except (FhirError, InvalidResource):
        return None


def _plan_plain(context: Context, entry: _PlainEntry) -> list[Change] | None:
    """Make the change of one resource without the detour of a Bundle around it."""
    body = bytes(entry.resource)
    resource = decode(body)
    if any(sign in body for sign in _MAY_BE_OPEN) and not is_closed(resource):
        return None
    resource_type, _, id_ = entry.request.url.partition("/")
    if resource["resourceType"] != resource_type:
        return None
    if entry.request.method == "POST":
        return None if id_ else [prepare_write(context, resource, new_id(), context.now, replaces=None, method="C")]
    if resource.get("id") != id_:
        return None
    return [prepare_write(context, resource, id_, context.now, replaces=None, method="U")]


def _without_repeated(plans: Sequence[Plan]) -> tuple[list[Plan], list[bytes]]:
    """Return the plans that write what no other one before them does, and the digests of the rest."""
    written: set[str] = set()
    made, repeated = [], []
    for unit, changes in plans:
        addresses = {f"{change.resource_type}/{change.id}" for change in changes}
        if addresses.isdisjoint(written):
            written |= addresses
            made.append((unit, changes))
        else:
            repeated.append(unit.digest)
    return made, repeated


async def _without_taken(context: Context, plans: Sequence[Plan]) -> tuple[list[Plan], list[bytes]]:
    """Return the plans under whose ids nothing is stored, deleted or not, and the digests of the rest."""
    ids: dict[str, list[str]] = defaultdict(list)
    for _, changes in plans:
        for change in changes:
            ids[change.resource_type].append(change.id)
    async with context.database.session() as session:
        taken = await find_taken(session, context.caller.tenant, ids)
        known = await find_in_ledger(session, context.caller.tenant, [unit.digest for unit, _ in plans])
    made, others = [], []
    for unit, changes in plans:
        if unit.digest in known or any((c.resource_type, c.id) in taken for c in changes):
            others.append(unit.digest)
        else:
            made.append((unit, changes))
    return made, others


async def _store(context: Context, plans: Sequence[Plan]) -> None:
    """Store resources and their lines in the ledger in one transaction."""
    if not plans:
        return
    tenant = context.caller.tenant
    changes = [change for _, made in plans for change in made]
    entries = [c.entries for c in changes] + [inner.entries for c in changes for inner in c.contained]
    async with context.database.session() as session:
        # By themselves, so that large transactions with the same new texts needn't wait for each other.
        await add_texts(session, tenant, entries)
        async with session.transaction():
            ledger = [LedgerEntry(unit.digest, unit.source, unit.entries) for unit, _ in plans]
            await add_to_ledger(session, tenant, ledger)
            await write_new(context, session, changes)
