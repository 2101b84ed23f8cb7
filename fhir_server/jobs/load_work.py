"""The storing side of a load: a batch of units in one transaction, halved when refused until the culprit is alone."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from conformance.issues import InvalidResource, Issue
from fhir_server.errors import Conflict, FhirError, TimedOut, Unavailable
from fhir_server.jobs.load_units import Unit, transaction
from fhir_server.store.ledger import LedgerEntry

ATTEMPTS = 8
_REASONS_SHOWN = 5
_PLACE = re.compile(r"Bundle\.entry\[(\d+)\](?:\.resource)?\.?")


class LoadTransaction(Protocol):
    """One transaction of the target: leaving it commits, an exception rolls everything back, the ledger included."""

    async def claim(self, entries: Sequence[LedgerEntry]) -> set[bytes]:
        """Enter units in the ledger; return the digests that were not there before."""

    async def run(self, bundle: bytes) -> None:
        """Run a transaction Bundle; raises FhirError or InvalidResource when it is refused."""


class LoadTarget(Protocol):
    """Where a load stores. Used by several tasks of one event loop at a time."""

    def transaction(self) -> AbstractAsyncContextManager[LoadTransaction]:
        """Begin a transaction."""

    async def insert(self, units: Sequence[Unit]) -> Stored:
        """Store in bulk those units that are new and ask nothing of what is stored; tell which are left."""


OpenTarget = Callable[[], AbstractAsyncContextManager[LoadTarget]]
"""Opens a target in the process that calls it; must be picklable (say, a functools.partial of a module's function)."""
Store = Callable[["LoadTarget", Sequence[Unit]], Awaitable["Stored"]]
"""What is done with a batch: :func:`store` or :func:`insert`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A unit that was refused: where it is, why, and whether it may succeed once other units are there."""

    digest: bytes
    source: str
    reason: str
    conditional: bool


@dataclass(slots=True)
class Stored:
    """What became of a batch, in units and in entries. ``left`` are the digests of those that a bulk load didn't take."""

    units: int = 0
    entries: int = 0
    known_units: int = 0
    known_entries: int = 0
    failures: list[Failure] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)

    def add(self, other: Stored) -> None:
        """Add another batch's figures."""
        self.units += other.units
        self.entries += other.entries
        self.known_units += other.known_units
        self.known_entries += other.known_entries
        self.failures += other.failures


class _CulpritsError(Exception):
    """The structure of some units of a batch is wrong; nothing of the batch was stored."""

    def __init__(self, failures: list[Failure]) -> None:
        super().__init__(f"{len(failures)} units were refused")
        self.failures = failures


async def store(target: LoadTarget, units: Sequence[Unit]) -> Stored:
    """Store what can be stored of a batch; each other unit is a Failure. Raises Unavailable when the target is gone."""
    try:
        return await _patiently(partial(_store_once, target), units)
    except Unavailable:
        raise
    except _CulpritsError as error:
        refused = {failure.digest for failure in error.failures}
        rest = [unit for unit in units if unit.digest not in refused]
        stored = await store(target, rest) if rest else Stored()
        stored.failures += error.failures
        return stored
    except FhirError as error:
        reason = _reason(error.issues)
    except InvalidResource as error:
        reason = _reason(error.issues)
    if len(units) == 1:
        (unit,) = units
        return Stored(failures=[Failure(unit.digest, unit.source, reason, unit.conditional)])
    middle = len(units) // 2
    stored = await store(target, units[:middle])
    stored.add(await store(target, units[middle:]))
    return stored


async def insert(target: LoadTarget, units: Sequence[Unit]) -> Stored:
    """Store in bulk what can be of a batch. Raises Unavailable when the target is gone."""
    return await _patiently(target.insert, units)


async def _patiently(attempt_once: Callable[[Sequence[Unit]], Awaitable[Stored]], units: Sequence[Unit]) -> Stored:
    """Store a batch, again after a while when another transaction was faster or the target is busy."""
    for attempt in range(ATTEMPTS):
        try:
            return await attempt_once(units)
        except (Conflict, Unavailable, TimedOut):
            if attempt + 1 == ATTEMPTS:
                raise
            await asyncio.sleep(random.uniform(0.005, 0.02) * 2**attempt)  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")


async def _store_once(target: LoadTarget, units: Sequence[Unit]) -> Stored:
    distinct = {unit.digest: unit for unit in units}
    async with target.transaction() as transaction_:
        new = await transaction_.claim([LedgerEntry(u.digest, u.source, u.entries) for u in distinct.values()])
        fresh = [unit for digest, unit in distinct.items() if digest in new]
        for unit in fresh:
            if unit.whole:
                await transaction_.run(unit.body)
        single = [unit for unit in fresh if not unit.whole]
        if single:
            try:
                await transaction_.run(transaction([unit.body for unit in single]))
            except InvalidResource as error:
                raise _CulpritsError(_culprits(error.issues, single)) from error
    entries = sum(u.entries for u in fresh)
    return Stored(
        units=len(fresh),
        entries=entries,
        known_units=len(units) - len(fresh),
        known_entries=sum(u.entries for u in units) - entries,
    )


def _culprits(issues: Sequence[Issue], units: Sequence[Unit]) -> list[Failure]:
    """Return a Failure for each unit that issues are about. An issue that names none is about all of them."""
    found: dict[int, list[Issue]] = {}
    for issue in issues:
        place = _PLACE.match(issue.expression or "")
        numbers = range(len(units)) if place is None else (int(place[1]),)
        for number in numbers:
            inner = None if place is None else (issue.expression or "")[place.end() :] or None
            found.setdefault(number, []).append(replace(issue, expression=inner))
    return [
        Failure(units[n].digest, units[n].source, _reason(issues), units[n].conditional) for n, issues in found.items()
    ]


def _reason(issues: Sequence[Issue]) -> str:
    shown = [
        i.diagnostics if i.expression is None else f"{i.expression}: {i.diagnostics}" for i in issues[:_REASONS_SHOWN]
    ]
    if len(issues) > _REASONS_SHOWN:
        shown.append(f"and {len(issues) - _REASONS_SHOWN} more")
    return "; ".join(shown)
