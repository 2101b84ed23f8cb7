"""Which resource types a tenant has rows of, so that statements over many types leave the empty ones out.

Planning costs per table and a practice uses a third of the types; this statement is planned once and looks at one index
entry a type.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from fhir_server.store.tables import partition_name, type_ids


class Session(Protocol):
    """Runs statements."""

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""


@lru_cache(maxsize=64)
def _sql(resource_types: tuple[str, ...]) -> str:
    return " UNION ALL ".join(
        f"SELECT '{name}' WHERE EXISTS "  # noqa: S608 - names come from the definitions
        f"(SELECT FROM {partition_name(name)} WHERE tenant = %s AND type = {type_ids()[name]})"
        for name in resource_types
    )


async def occupied(session: Session, tenant: int, resource_types: Sequence[str]) -> list[str]:
    """Return those of some types (known ones) that the tenant has rows of, in the order given."""
    if not resource_types:
        return []
    rows = await session.fetch(_sql(tuple(resource_types)), [tenant] * len(resource_types))
    found = {row[0] for row in rows}
    return [name for name in resource_types if name in found]
