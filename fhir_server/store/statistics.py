"""The planner's statistics, https://www.postgresql.org/docs/current/planner-stats.html, and what else a bulk load leaves to do."""

from __future__ import annotations

from fhir_server.store.database import Session

# Below this autovacuum gets there soon enough.
WORTH_IT = 1000


# What a search reads from start to end, entry by entry, until autovacuum has brought it into the index.
_PENDING = """
SELECT sum(gin_clean_pending_list(i.oid)) FROM pg_class AS i JOIN pg_am AS m ON m.oid = i.relam AND m.amname = 'gin'
WHERE i.relkind = 'i' AND i.relnamespace = current_schema()::regnamespace"""


async def analyze(session: Session, stored: int) -> None:
    """Bring statistics and indexes up to date after ``stored`` resources came in at once.

    Plans rest on how frequent a token is, and each look-up of one reads the token index's list of pending entries.
    """
    if stored >= WORTH_IT:
        await session.execute("ANALYZE")
        await session.execute(_PENDING)
