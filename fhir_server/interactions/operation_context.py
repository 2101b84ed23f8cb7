"""What an operation's handler is given, on top of the store, https://hl7.org/fhir/R4/operations.html."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from conformance.decode import decode, decode_stored, encode
from conformance.issues import Issue
from fhir_server.auth.caller import Caller, Interaction
from fhir_server.interactions import transaction
from fhir_server.interactions.bundle import link, make_bundle
from fhir_server.interactions.commit import amend_current, write_changes
from fhir_server.interactions.conditions import is_visible
from fhir_server.interactions.context import Context, format_instant
from fhir_server.interactions.current import check_writable, later
from fhir_server.interactions.integrity import check_referrers
from fhir_server.interactions.persist import persist
from fhir_server.interactions.prepare import prepare_write, require_grant, require_granted
from fhir_server.interactions.read import read_reference
from fhir_server.interactions.request import Answer
from fhir_server.operations.built_in import Link
from fhir_server.operations.contract import Resource
from fhir_server.search.execute import search
from fhir_server.search.registry import SearchParameters
from fhir_server.search.terminology import TenantTerminologies
from fhir_server.store.database import Session
from fhir_server.store.keys import new_id
from fhir_server.store.read import Version
from fhir_server.store.write import Change

T = TypeVar("T")


class OperationContext:
    """The contract's Context on top of the store; each call takes its own connection and gives it back."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def now(self) -> datetime:
        """The instant of the request."""
        return self._context.now

    @property
    def subject(self) -> str:
        """Who calls."""
        return self._context.caller.subject

    async def read(self, reference: str) -> Resource | None:
        """Return the current version of ``Type/id`` that the caller may see, or None; so for any other reference."""
        async with self._context.database.session() as session:
            return await read_reference(self._context, session, reference)

    async def search(
        self, resource_type: str, parameters: Sequence[tuple[str, str]], *, limit: int = 1000
    ) -> list[Resource]:
        """Return all matches up to ``limit``, following the pages."""
        out: list[Resource] = []
        cursor: str | None = ""
        while cursor is not None and len(out) < limit:
            page_parameters = [*parameters, ("_count", str(min(limit - len(out), 1000)))]
            if cursor:
                page_parameters.append(("_cursor", cursor))
            async with self._context.database.searching() as session:
                page = await search(
                    session,
                    self._context.caller,
                    resource_type,
                    page_parameters,
                    cursor_key=self._context.server.cursor_key,
                    strict=True,
                    registry=self._context.parameters,
                    base_url=self._context.base_url,
                    terminologies=self._context.server.terminologies,
                )
            out += [decode_stored(m.content) for m in page.matches]
            cursor = page.next_cursor
        return out

    async def write(self, bundle: Resource) -> Resource:
        """Run a transaction Bundle, all or nothing; the caller's Bundle stays as it is."""
        body = encode(bundle)

        async def attempt(context: Context) -> Answer:
            parsed = decode(body, "Bundle")
            async with context.database.transaction() as session:
                return await transaction.run(context, session, parsed, representation=True)

        answer = await persist(self._context, attempt)
        return decode(answer.content or b"", "Bundle")


class BuiltInContext(OperationContext):
    """What the server's own operations get, see ``fhir_server.operations.built_in.ServerContext``."""

    def __init__(self, context: Context, *, strict: bool) -> None:
        super().__init__(context)
        self._strict = strict

    @property
    def caller(self) -> Caller:
        """Who calls, with tenant and grants."""
        return self._context.caller

    @property
    def base_url(self) -> str:
        """The FHIR base under which the server was called."""
        return self._context.base_url

    @property
    def cursor_key(self) -> bytes:
        """The secret that signs paging cursors."""
        return self._context.server.cursor_key

    @property
    def parameters(self) -> SearchParameters:
        """The search parameters of the caller's tenant."""
        return self._context.parameters

    @property
    def terminologies(self) -> TenantTerminologies:
        """What tenants' terminology answers."""
        return self._context.server.terminologies

    @property
    def strict(self) -> bool:
        """Whether what isn't supported must be refused."""
        return self._strict

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Lend a connection."""
        return self._context.database.session()

    def searching(self) -> AbstractAsyncContextManager[Session]:
        """Lend a connection for searches."""
        return self._context.database.searching()

    async def persist(self, attempt: Callable[[Session], Awaitable[T]]) -> T:
        """Run ``attempt`` in a transaction, again when it meets a concurrent write."""

        async def run(context: Context) -> T:
            async with context.database.transaction() as session:
                return await attempt(session)

        return await persist(self._context, run)

    def require(self, interaction: Interaction, resource_type: str) -> None:
        """Raise Forbidden unless some grant allows the interaction on the type."""
        require_grant(self.caller, interaction, resource_type)

    def may_read(self, resource_type: str, content: bytes) -> bool:
        """Tell whether a grant lets the caller read this content."""
        return is_visible(self._context, resource_type, content)

    def check_writable(self, interaction: Interaction, resource_type: str, current: Version) -> None:
        """Raise Forbidden unless a grant covers the resource as it is stored now."""
        check_writable(self._context, interaction, resource_type, current)

    def check_granted(self, interaction: Interaction, resource: Resource) -> None:
        """Raise Forbidden unless a grant covers this very content."""
        require_granted(self._context, interaction, resource)

    def prepare(self, updates: Sequence[tuple[Resource, Version]], creates: Sequence[Resource] = ()) -> list[Change]:
        """Return the changes that replace versions, then those that store new resources; all of one instant."""
        now = later(self.now, *(replaced for _, replaced in updates))
        changes = []
        for resource, replaced in updates:
            self.check_writable("update", resource["resourceType"], replaced)
            changes.append(prepare_write(self._context, resource, replaced.id, now, replaces=replaced, method="U"))
        changes += [
            prepare_write(self._context, resource, new_id(), now, replaces=None, method="C") for resource in creates
        ]
        return changes

    async def store(self, session: Session, changes: Sequence[Change]) -> None:
        """Write changes."""
        await write_changes(self._context, session, changes)

    async def find_issues(self, content: bytes | Resource, profiles: Sequence[str] = ()) -> list[Issue]:
        """Return all issues of a text, or of a resource of sound structure."""
        validator = self._context.server.validators.of(self.caller.tenant)
        if isinstance(content, bytes):
            return await validator.validate_text(content, self.session, profiles)
        (found,) = await validator.validate([content], len(encode(content)), self.session, profiles)
        return found

    async def check_deletable(self, address: str) -> None:
        """Raise StillReferenced where the policy on references keeps a resource from being deleted."""
        if self._context.server.enforce_references:
            async with self.session() as session:
                refused = await check_referrers(self._context, session, [address])
            for error in refused.values():
                raise error

    def note_definitions(self) -> None:
        """Note that definitions are about to change."""
        self._context.server.tenant_parameters.note_write()

    async def amend(self, session: Session, change: Change) -> None:
        """Replace a current version."""
        await amend_current(self._context, session, change)

    def searchset(
        self, links: Sequence[Link], entries: Sequence[dict[str, Any] | msgspec.Raw], total: int | None = None
    ) -> bytes:
        """Return a searchset Bundle."""
        return make_bundle("searchset", format_instant(self.now), [link(*pair) for pair in links], entries, total)
