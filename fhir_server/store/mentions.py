"""Which resources hold a text, wherever it stands in them; reads every resource, for want of an index that knows all.

References in extensions and in elements without a search parameter are in no index, and a merge must not miss them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fhir_server.store.database import Session
from fhir_server.store.tables import partition_name, type_ids


@lru_cache(maxsize=256)
def _sql(resource_type: str) -> str:
    return (
        f"SELECT id FROM {partition_name(resource_type)} "  # noqa: S608 - a name from the definitions
        f"WHERE tenant = %s AND type = {type_ids()[resource_type]} AND content IS NOT NULL "
        "AND position(%s::bytea IN content) > 0 LIMIT %s"
    )


async def find_mentions(
    session: Session, tenant: int, resource_types: Sequence[str], text: bytes, most: int
) -> dict[str, list[str]]:
    """Return, by type, the ids of the resources whose JSON holds the text; ``most`` of them at most."""
    found: dict[str, list[str]] = {}
    left = most
    for resource_type in resource_types:
        rows = await session.fetch(_sql(resource_type), (tenant, text, left))
        if rows:
            found[resource_type] = [row[0] for row in rows]
            left -= len(rows)
        if left < 1:
            break
    return found
