"""Who is calling: bearer tokens, or everyone under ``--auth off``, RFC 6750.

Until the authorization server exists, tokens are static ones made by ``praxis token create``.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Protocol

from fhir_server.auth.caller import DEFAULT_TENANT, Caller, anonymous
from fhir_server.auth.tokens import find_caller
from fhir_server.errors import Unauthenticated
from fhir_server.store.database import Database

# A revoked token may be used this much longer, in seconds: the price of not asking the database each time.
CACHE_SECONDS = 5.0
CACHE_SIZE = 10_000


class Authenticate(Protocol):
    """Turns an Authorization header into a caller; raises Unauthenticated."""

    def __call__(self, authorization: str | None) -> Awaitable[Caller]:
        """Return the caller that a header proves."""

    def anyone(self) -> Awaitable[Caller]:
        """Return the caller of what needs no credential."""


class Off:
    """``--auth off``: every request is the anonymous caller, who may do everything in the default tenant."""

    def __init__(self) -> None:
        self._caller = anonymous()

    async def __call__(self, authorization: str | None) -> Caller:  # noqa: ARG002 - not looked at, by definition
        """Return the anonymous caller."""
        return self._caller

    async def anyone(self) -> Caller:
        """Return the anonymous caller."""
        return self._caller


class BearerTokens:
    """Static bearer tokens, looked up in the database and remembered for a few seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[float, Caller]] = {}

    async def __call__(self, authorization: str | None) -> Caller:
        """Return the token's caller; raises Unauthenticated (401) without one that is valid."""
        if not authorization:
            raise Unauthenticated("This server needs a credential: send 'Authorization: Bearer …'.")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Only 'Authorization: Bearer …' is supported.")
        now = time.monotonic()
        known = self._known.get(token)
        if known is not None and known[0] > now:
            return known[1]
        async with self._database.session() as session:
            caller = await find_caller(session, token)
        if caller is None:
            self._known.pop(token, None)
            raise Unauthenticated("The token is not known, has expired or was revoked.", code="unknown")
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        self._known[token] = (now + CACHE_SECONDS, caller)
        return caller

    async def anyone(self) -> Caller:
        """Return a caller without grants."""
        return Caller("anyone", DEFAULT_TENANT, ())
