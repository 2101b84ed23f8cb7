"""How many resources of each type are stored."""

from __future__ import annotations

from fhir_server.store.database import Session
from fhir_server.store.tables import type_ids


async def count_by_type(session: Session, tenant: int) -> dict[str, int]:
    """Return the number of current resources by type, the most frequent first; reads the whole table."""
    names = {number: name for name, number in type_ids().items()}
    rows = await session.fetch(
        "SELECT type, count(*) FROM resource WHERE tenant = %s AND content IS NOT NULL GROUP BY type ORDER BY 2 DESC",
        (tenant,),
    )
    return {names[number]: count for number, count in rows}


async def is_empty(session: Session, tenant: int) -> bool:
    """Tell whether the tenant has no resource at all."""
    rows = await session.fetch("SELECT EXISTS (SELECT FROM resource WHERE tenant = %s)", (tenant,))
    return not rows[0][0]
