"""Resources by what other resources and searches name them by, https://hl7.org/fhir/R4/references.html#canonical."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fhir_server.store.tables import partition_name, type_ids

_MOST = 50


class Session(Protocol):
    """Runs statements."""

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement with ``%s`` parameters and return its rows."""


async def find_carrying(session: Session, tenant: int, resource_type: str, token: int) -> list[bytes]:
    """Return the contents of a type's current resources with a token, the newest first and 50 at most."""
    rows = await session.fetch(
        f"SELECT content FROM {partition_name(resource_type)} WHERE tenant = %s AND type = {type_ids()[resource_type]} "  # noqa: S608 - names come from the definitions
        "AND content IS NOT NULL AND tokens @> %s::text[]::int8[] ORDER BY key DESC LIMIT %s",
        (tenant, [str(token)], _MOST),
    )
    return [row[0] for row in rows]


async def find_by_id(session: Session, tenant: int, resource_type: str, id_: str) -> bytes | None:
    """Return the content of the current version of a resource, None when there is none."""
    rows = await session.fetch(
        f"SELECT content FROM {partition_name(resource_type)} "  # noqa: S608 - names come from the definitions
        f"WHERE tenant = %s AND type = {type_ids()[resource_type]} AND id = %s AND content IS NOT NULL",
        (tenant, id_),
    )
    content: bytes | None = rows[0][0] if rows else None
    return content
