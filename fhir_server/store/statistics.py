"""The planner's statistics, https://www.postgresql.org/docs/current/planner-stats.html."""

from __future__ import annotations

from fhir_server.store.database import Session

# Below this autovacuum gets there soon enough.
WORTH_IT = 1000


async def analyze(session: Session, stored: int) -> None:
    """Bring statistics up to date after ``stored`` resources came in at once: plans rest on how frequent a token is."""
    if stored >= WORTH_IT:
        await session.execute("ANALYZE")
