"""What each tenant's terminology answers, for operations and searches alike, https://hl7.org/fhir/R4/terminology-service.html.

What the tenant has stored goes first, then its packages, the code systems imported for it, and what comes with the server.
All of it is the server's own knowledge: asking takes no grant on the resources. What was resolved is kept until the tenant's
definitions or imports change, so most questions take no statement at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar

from conformance.terminology import shipped
from conformance.terminology.engine import Terminology
from conformance.terminology.errors import MissingResource, TerminologyError
from conformance.terminology.scope import Scope
from conformance.terminology.source import Source, Sources
from fhir_server.errors import TimedOut, Unavailable
from fhir_server.search.own_terminology import MissingOwn, OwnTerminology, fetch_place
from fhir_server.search.session import Session
from fhir_server.search.tenant_parameters import TenantParameters
from fhir_server.store.code_systems import CodeSystems, TenantCodeSystems

Json = dict[str, Any]
T = TypeVar("T")
Lend = Callable[[], AbstractAsyncContextManager[Session]]

MOST_FETCHED = 200
"""A question that takes more value sets and code systems than this is a mistake."""
SECONDS = 30.0
"""Nobody waits longer for an answer of the engine."""
_MOST_TENANTS = 100
_MOST_WARM = 10_000
_THREADS = 4


class Known:
    """What a tenant's terminology is at one moment; kept as long as nothing of it changes."""

    def __init__(self, own: OwnTerminology | None, imported: TenantCodeSystems | None) -> None:
        self.own = own
        self.imported = imported
        sources: list[Source | None] = [own, imported, shipped]
        self.source: Source = Sources(*(source for source in sources if source is not None))
        self.terminology = Terminology(self.source)
        self.scope = Scope(self.source)
        self._warm: set[object] = set()

    def is_current(self, imported: TenantCodeSystems | None) -> bool:
        """Tell whether it may be kept: it goes by these imports, and holds no more than it should."""
        return self.imported is imported and (self.own is None or not self.own.is_full)

    def is_warm(self, about: object) -> bool:
        """Tell whether this was asked about before, so that what it takes has been read."""
        return about in self._warm

    def note(self, about: object) -> None:
        """Note that this was asked about."""
        if len(self._warm) >= _MOST_WARM:
            self._warm.clear()
        self._warm.add(about)

    def maps(self, system: str | None, *, reverse: bool) -> tuple[Json, ...]:
        """Return the ConceptMaps from a code system, or to one, those of the tenant first. Raises MissingOwn."""
        if system is None:
            return ()
        end = "target" if reverse else "source"
        own = (
            []
            if self.own is None
            else self.own.at(("ConceptMap", "target-system" if reverse else "source-system", system))
        )
        return (*own, *(m for m in shipped.concept_maps() if any(g.get(end) == system for g in m.get("group", ()))))


class TenantTerminologies:
    """The terminology of all tenants as a process knows it.

    ``tenant_parameters`` says how often a tenant's definitions have changed; its ``prepare`` precedes each question.
    Without ``code_systems`` nothing that was imported is known.
    """

    def __init__(self, tenant_parameters: TenantParameters | None, code_systems: CodeSystems | None) -> None:
        self._tenant_parameters = tenant_parameters
        self._code_systems = code_systems
        self._known: dict[int, tuple[int, Known]] = {}
        # A few threads of its own: long questions must not take all those that other work needs.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="terminology")

    async def known(self, tenant: int) -> Known:
        """Return what is known of a tenant's terminology: the same object until something changes. Raises Unavailable."""
        imported = None if self._code_systems is None else await self._code_systems.of(tenant)
        parameters = self._tenant_parameters
        generation = 0 if parameters is None else parameters.definitions_generation(tenant)
        kept = self._known.get(tenant)
        if kept is not None and kept[0] == generation and kept[1].is_current(imported):
            return kept[1]
        if kept is None and len(self._known) >= _MOST_TENANTS:
            self._known.clear()
        # Who never had a definition of their own is spared the database.
        known = Known(OwnTerminology() if generation else None, imported)
        self._known[tenant] = generation, known
        return known

    async def ask(self, tenant: int, lend: Lend, question: Callable[[Known], T], about: object = None) -> T:
        """Return the answer to a question, asked as often as it takes until all that it needs has been fetched.

        It runs in a thread, since reading or searching takes a moment in which others shall not wait; only what is
        ``about`` something that was asked about before runs at once. ``lend`` lends a connection, if one is needed.
        Raises TerminologyError, also when it takes too much, TimedOut and Unavailable, and what the question raises.
        """
        for _ in range(MOST_FETCHED + 1):
            known = await self.known(tenant)
            try:
                if about is not None and known.is_warm(about):
                    return question(known)
                answer = await self._in_thread(question, known)
            except MissingResource as missing:
                await self._fetch(tenant, lend, known, missing)
            else:
                if about is not None:
                    known.note(about)
                return answer
        raise _too_many()

    async def ask_within(self, session: Session, tenant: int, question: Callable[[Known], T]) -> T:
        """Return the answer by what a session sees, and keep nothing: in a transaction, all of it may be undone."""
        imported = None if self._code_systems is None else await self._code_systems.of(tenant)
        known = Known(OwnTerminology(), imported)
        for _ in range(MOST_FETCHED + 1):
            try:
                return await self._in_thread(question, known)
            except MissingResource as missing:
                await self._fetch(tenant, lambda: nullcontext(session), known, missing)
        raise _too_many()

    async def _in_thread(self, question: Callable[[Known], T], known: Known) -> T:
        asked = asyncio.get_running_loop().run_in_executor(self._threads, question, known)
        try:
            return await asyncio.wait_for(asked, SECONDS)
        except TimeoutError as error:
            raise TimedOut(f"The terminology service took more than {SECONDS:.0f} seconds.") from error

    async def _fetch(self, tenant: int, lend: Lend, known: Known, missing: MissingResource) -> None:
        if isinstance(missing, MissingOwn) and known.own is not None:
            async with lend() as session:
                known.own.put(missing.place, await fetch_place(session, tenant, missing.place))
        elif self._code_systems is not None:
            # What was removed meanwhile isn't there any more: the next round goes by the new state.
            await self._code_systems.fetch(tenant, missing.canonical)
        else:
            raise Unavailable(f"{missing} can't be read here.") from missing


def _too_many() -> TerminologyError:
    text = f"it takes more than {MOST_FETCHED} value sets and code systems"
    return TerminologyError(422, "too-costly", "too-costly", text)
