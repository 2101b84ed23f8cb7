"""Static bearer tokens: ``praxis_<tenant>_<secret>``. The text names the tenant, so the look-up stays inside it."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import UTC, datetime

from fhir_server.auth.caller import ALL_INTERACTIONS, Caller, Grant
from fhir_server.store.database import Session
from fhir_server.store.tokens import find_token, insert_token

TOKEN = re.compile(r"praxis_([0-9]{1,9})_([A-Za-z0-9_-]{43})")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def create_token(
    session: Session, tenant: int, subject: str, *, expires_at: datetime | None = None, expunge: bool = False
) -> str:
    """Make a token for a subject and return its text, which is shown once and not kept.

    ``expunge`` lets its holder remove history and resources for good, too.
    """
    token = f"praxis_{tenant}_{secrets.token_urlsafe(32)}"
    await insert_token(session, tenant, _digest(token), subject, datetime.now(UTC), expires_at, expunge=expunge)
    return token


async def find_caller(session: Session, token: str) -> Caller | None:
    """Return the caller of a valid token, or None. Static tokens grant everything in their tenant, expunging by name only."""
    parts = TOKEN.fullmatch(token)
    if parts is None:
        return None
    tenant = int(parts[1])
    stored = await find_token(session, tenant, _digest(token), datetime.now(UTC))
    if stored is None:
        return None
    grant = Grant(interactions=ALL_INTERACTIONS | {"expunge"}) if stored.expunge else Grant()
    return Caller(stored.subject, tenant, (grant,))
