"""The small contract that operations and feeds are written against: read, search, write, now, who.

An operation is an OperationDefinition plus a handler, https://hl7.org/fhir/R4/operations.html.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Resource = dict[str, Any]
"""Plain FHIR JSON; numbers with a fraction are Decimal."""


class OperationError(Exception):
    """An operation refuses its input: HTTP ``status``, issue-type ``code``, a message and perhaps a FHIRPath ``expression``."""

    def __init__(self, status: int, code: str, diagnostics: str, expression: str | None = None) -> None:
        super().__init__(diagnostics)
        self.status = status
        self.code = code
        self.diagnostics = diagnostics
        self.expression = expression


class Context(Protocol):
    """What a handler may do; the caller's grants apply to all of it."""

    @property
    def now(self) -> datetime:
        """The instant of the request, aware, in UTC."""

    @property
    def subject(self) -> str:
        """Who calls."""

    async def read(self, reference: str) -> Resource | None:
        """Return the current version of ``Type/id``, or None when there is none (or it was deleted)."""

    async def search(
        self, resource_type: str, parameters: Sequence[tuple[str, str]], *, limit: int = 1000
    ) -> list[Resource]:
        """Return all matches of a search, up to ``limit``, newest first unless ``_sort`` says otherwise."""

    async def write(self, bundle: Resource) -> Resource:
        """Run a transaction Bundle, all or nothing, and return its transaction-response Bundle."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call: where (``resource_type`` and ``id`` are None above their level) and the in-parameters as a Parameters resource.

    ``read_only`` marks a safe HTTP method: the handler must refuse whatever would write. ``version_id`` names a version
    of the instance, and ``query`` holds the query parameters beside the declared ones, where the operation allows either.
    ``body`` and its ``media_type`` are given as they were sent to an operation that asks for that.
    """

    resource_type: str | None
    id: str | None
    parameters: Resource
    read_only: bool = False
    version_id: int | None = None
    query: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    media_type: str = ""


Handler = Callable[[Invocation, Context], Awaitable[Resource]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its OperationDefinition and what answers it."""

    definition: Resource
    handler: Handler
