"""``praxis load``: bulk loading of FHIR data, exactly once.

A unit (see :mod:`fhir_server.jobs.load_units`) commits together with its line in the ledger of content hashes, so a
second run changes nothing and an interrupted one goes on. Units with conditional references
(``Practitioner?identifier=…``) wait for a second pass over the input, when what they refer to is there; those that
still find nothing are tried again for as long as a pass gets any of them in.

In bulk (``praxis load --bulk``) a pass comes first that takes what is simple, with COPY and without the search indexes
(:mod:`fhir_server.jobs.load_bulk`, :mod:`fhir_server.store.search_indexes`); the ordinary passes then see to what it left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from fhir_server.jobs.load_crew import Crew, OwnProcess, Processes
from fhir_server.jobs.load_sources import Found, OnBytes, Unreadable, read_units, total_bytes
from fhir_server.jobs.load_units import Unit
from fhir_server.jobs.load_work import Failure, OpenTarget, Store, Stored, insert, store

Source = Callable[[OnBytes], Iterator[Found]]
"""Yields the input from its start each time it is called, and tells how many bytes were read."""

BATCH_ENTRIES = 200
BATCH_BYTES = 1 << 20
BULK_ENTRIES = 2000
BULK_BYTES = 4 << 20
"""A bulk load's transactions are larger: they wait for nobody, and each costs a flush to disk."""
FAILURES_KEPT = 1000
BULK_WORTH_IT = 8 << 20
"""From this size of the input on, a load into an empty database gains by what taking down and building indexes costs."""
SMALL_BYTES = 1 << 19
"""Below this, compressed or not, a load takes less time than starting worker processes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is. ``bytes_read`` of ``bytes_total`` is the place in the input of pass ``number``, from 1."""

    number: int
    bytes_read: int
    bytes_total: int
    entries: int
    known_entries: int
    failed: int
    seconds: float

    @property
    def entries_per_second(self) -> float:
        """Entries stored in a second so far."""
        return self.entries / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Summary:
    """What a load did. ``failures`` keeps the first 1,000; ``failed`` counts all. ``skipped`` files are not FHIR."""

    units: int = 0
    entries: int = 0
    known_units: int = 0
    known_entries: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def entries_per_second(self) -> float:
        """Entries stored in a second."""
        return self.entries / self.seconds if self.seconds else 0.0

    def fail(self, source: str, reason: str) -> None:
        """Note a failure."""
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append((source, reason))


class Loader:
    """One load. ``workers`` processes (0: this one) run ``connections`` transactions each at a time.

    With ``bulk`` a bulk pass comes first, inside that context: the database without its search indexes.
    ``run`` raises LoadStoppedError when the target is gone, and whatever opening it raises.
    """

    def __init__(
        self,
        source: Source,
        open_target: OpenTarget,
        *,
        workers: int | None = None,
        connections: int = 3,
        bytes_total: int = 0,
        bulk: AbstractContextManager[object] | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        if workers is None:
            workers = 0 if bytes_total < SMALL_BYTES else os.cpu_count() or 1
        self._source = source
        self._open_target = open_target
        self._workers = workers
        self._connections = connections
        self._bytes_total = bytes_total
        self._bytes_read = 0
        self._bulk = bulk
        self._on_progress = on_progress
        self._summary = Summary()
        self._waiting: dict[bytes, Failure] = {}
        self._left: set[bytes] = set()
        self._started = 0.0
        self._pass = 0

    def run(self) -> Summary:
        """Load everything and return what happened."""
        self._started = time.monotonic()
        deferred = self._run_bulk() if self._bulk is not None else None
        if deferred == 0 and not self._left:
            return self._finish()
        with self._crew(store) as crew:
            if deferred is None:
                deferred = self._run_pass(crew, lambda unit: not unit.conditional)
            elif self._left:
                self._run_pass(crew, lambda unit: unit.digest in self._left)
            if deferred:
                self._run_pass(crew, lambda unit: unit.conditional)
            before = -1
            while self._waiting and len(self._waiting) != before:
                before = len(self._waiting)
                retried, self._waiting = self._waiting, {}
                self._run_pass(crew, lambda unit: unit.digest in retried)  # noqa: B023 - used within this turn only
        return self._finish()

    def _run_bulk(self) -> int:
        """Take in bulk what is not conditional; return how many units are."""
        with self._bulk or nullcontext(), self._crew(insert) as crew:
            return self._run_pass(crew, lambda unit: not unit.conditional, BULK_ENTRIES, BULK_BYTES)

    def _finish(self) -> Summary:
        for failure in self._waiting.values():
            self._summary.fail(failure.source, failure.reason)
        self._summary.seconds = time.monotonic() - self._started
        return self._summary

    def _crew(self, store: Store) -> Crew:
        if self._workers == 0:
            return OwnProcess(self._open_target, store)
        return Processes(self._open_target, self._workers, self._connections, store)

    def _run_pass(
        self,
        crew: Crew,
        wanted: Callable[[Unit], bool],
        most_entries: int = BATCH_ENTRIES,
        most_bytes: int = BATCH_BYTES,
    ) -> int:
        """Read the input once and load the units that are wanted; return how many were not."""
        self._pass += 1
        left = 0
        batch: list[Unit] = []
        size = 0
        for found in self._source(self._note_bytes):
            if isinstance(found, Unreadable):
                if self._pass == 1:
                    self._note_unreadable(found)
                continue
            if not wanted(found):
                left += 1
                continue
            batch.append(found)
            size += len(found.body)
            if (found.whole and most_entries == BATCH_ENTRIES) or len(batch) == most_entries or size >= most_bytes:
                self._note(crew.submit(batch))
                batch, size = [], 0
        if batch:
            self._note(crew.submit(batch))
        self._note(crew.finish())
        return left

    def _note_bytes(self, count: int) -> None:
        self._bytes_read = count

    def _note_unreadable(self, found: Unreadable) -> None:
        if found.skipped:
            self._summary.skipped.append((found.source, found.reason))
        else:
            self._summary.fail(found.source, found.reason)

    def _note(self, results: list[Stored]) -> None:
        summary = self._summary
        for stored in results:
            summary.units += stored.units
            summary.entries += stored.entries
            summary.known_units += stored.known_units
            summary.known_entries += stored.known_entries
            self._left.update(stored.left)
            for failure in stored.failures:
                if failure.conditional:
                    self._waiting[failure.digest] = failure
                else:
                    summary.fail(failure.source, failure.reason)
        if results:
            self._on_progress(
                Progress(
                    number=self._pass,
                    bytes_read=self._bytes_read,
                    bytes_total=self._bytes_total,
                    entries=summary.entries,
                    known_entries=summary.known_entries,
                    failed=summary.failed + len(self._waiting),
                    seconds=time.monotonic() - self._started,
                )
            )


def load_paths(
    paths: list[Path],
    open_target: OpenTarget,
    *,
    workers: int | None = None,
    bulk: AbstractContextManager[object] | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Summary:
    """Load files and folders; what can't be read or is refused is in the summary's failures. ``bulk`` as for Loader."""

    def source(on_bytes: OnBytes) -> Iterator[Found]:
        return read_units(paths, on_bytes)

    return Loader(
        source, open_target, workers=workers, bytes_total=total_bytes(paths), bulk=bulk, on_progress=on_progress
    ).run()
