"""What the server's own operations are written against: the small contract, and with it sessions, grants and changes.

Operations of ``ai`` get a Context only. These here may use search, auth and the store, so they get a ServerContext.
https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from conformance.issues import Issue
from fhir_server.auth.caller import Caller, Interaction
from fhir_server.operations.contract import Context, Invocation, Resource
from fhir_server.search.registry import SearchParameters
from fhir_server.search.terminology import TenantTerminologies
from fhir_server.store.database import Session
from fhir_server.store.read import Version
from fhir_server.store.write import Change

T = TypeVar("T")
Link = tuple[str, str]


class ServerContext(Context, Protocol):
    """One call's surroundings. ``base_url`` has no trailing slash; ``cursor_key`` signs paging cursors.

    ``strict`` says that the client asked for Prefer: handling=strict.
    """

    @property
    def caller(self) -> Caller:
        """Who calls, with tenant and grants."""

    @property
    def base_url(self) -> str:
        """The FHIR base under which the server was called."""

    @property
    def cursor_key(self) -> bytes:
        """The secret that signs paging cursors."""

    @property
    def parameters(self) -> SearchParameters:
        """The search parameters of the caller's tenant."""

    @property
    def terminologies(self) -> TenantTerminologies:
        """What tenants' terminology answers."""

    @property
    def strict(self) -> bool:
        """Whether what isn't supported must be refused."""

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Lend a connection for reads by id and other statements whose plan doesn't depend on values."""

    def searching(self) -> AbstractAsyncContextManager[Session]:
        """Lend a connection for searches."""

    async def persist(self, attempt: Callable[[Session], Awaitable[T]]) -> T:
        """Run ``attempt`` in a transaction; again from the start when it meets a concurrent write (Conflict)."""

    def require(self, interaction: Interaction, resource_type: str) -> None:
        """Raise Forbidden unless some grant allows the interaction on the type."""

    def may_read(self, resource_type: str, content: bytes) -> bool:
        """Tell whether a grant lets the caller read this content."""

    def check_writable(self, interaction: Interaction, resource_type: str, current: Version) -> None:
        """Raise Forbidden unless a grant covers the resource as it is stored now."""

    def check_granted(self, interaction: Interaction, resource: Resource) -> None:
        """Raise Forbidden unless a grant covers this very content."""

    def prepare(self, updates: Sequence[tuple[Resource, Version]], creates: Sequence[Resource] = ()) -> list[Change]:
        """Return the changes that replace versions, then those that store new resources under fresh ids; all of one instant.

        Raises Forbidden unless grants cover the old and the new content.
        """

    async def store(self, session: Session, changes: Sequence[Change]) -> None:
        """Write changes, all or none, in the session's transaction; raises Conflict, and what breaks the policy on references."""

    async def find_issues(self, content: bytes | Resource, profiles: Sequence[str] = ()) -> list[Issue]:
        """Return all issues of a text in JSON or XML, or of a resource of sound structure, by the tenant's definitions."""

    async def check_deletable(self, address: str) -> None:
        """Raise StillReferenced where the policy on references keeps ``Type/id`` from being deleted."""

    def note_definitions(self) -> None:
        """Note that definitions are about to change, so that the caller's next request goes by the new ones."""

    async def amend(self, session: Session, change: Change) -> None:
        """Replace content and index entries of a current version, whose row must be locked; raises as ``store`` does."""

    def searchset(
        self, links: Sequence[Link], entries: Sequence[dict[str, Any] | msgspec.Raw], total: int | None = None
    ) -> bytes:
        """Return a searchset Bundle; ``links`` are (relation, URL); an entry, or its resource, may be JSON bytes."""


@dataclass(frozen=True, slots=True)
class Started:
    """The operation goes on as a background job."""

    job: str


BuiltInHandler = Callable[[Invocation, ServerContext], Awaitable[Resource | bytes | Started]]
"""Answers with a resource or, where it was put together from stored bytes, with JSON that isn't checked again."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """An operation of the server: its OperationDefinition, its handler, and what else its query string may hold.

    ``query`` names the query parameters that the definition doesn't declare and that go to the handler as they are; None
    stands for any, as the search parameters of Observation/$lastn. ``versions`` says that it may be called on a version,
    ``starts_job`` that it is answered at once and goes on in the background. ``raw`` says that the handler takes the body
    as it was sent, and all of the query string; ``media_type`` what it answers with where that is no FHIR resource.
    """

    definition: Resource
    handler: BuiltInHandler
    query: frozenset[str] | None = frozenset()
    versions: bool = False
    starts_job: bool = False
    raw: bool = False
    media_type: str | None = None
