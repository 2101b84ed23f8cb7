"""Changing what a stored version says of itself, without making another, https://hl7.org/fhir/R4/resource.html#tag-updates.

Only labels (profiles, tags, security labels) change so; everything else makes a new version.
"""

from __future__ import annotations

from fhir_server.errors import Conflict
from fhir_server.store.database import Session
from fhir_server.store.full_text import index_amended
from fhir_server.store.tables import partition_name, type_ids
from fhir_server.store.write import Change, rewrite_entries


async def amend(session: Session, tenant: int, change: Change) -> None:
    """Replace content and index entries of the current version; the row must be locked in the session's transaction."""
    touched = await session.execute(
        f"UPDATE {partition_name(change.resource_type)} SET content = %s "  # noqa: S608 - a name from the definitions
        f"WHERE tenant = %s AND type = {type_ids()[change.resource_type]} AND id = %s AND version = %s",
        (change.content, tenant, change.id, change.version),
    )
    await index_amended(session, tenant, change.resource_type, change.key)
    if touched != 1 or await rewrite_entries(session, tenant, [change]) != 1:
        raise Conflict("Another request changed the same resource at the same time; try again.")


async def amend_past(session: Session, tenant: int, resource_type: str, id_: str, version: int, content: bytes) -> None:
    """Replace the content of a superseded version, which has no index entries."""
    touched = await session.execute(
        "UPDATE resource_history SET content = %s WHERE tenant = %s AND type = %s AND id = %s AND version = %s",
        (content, tenant, type_ids()[resource_type], id_, version),
    )
    if touched != 1:
        raise Conflict("The version was removed at the same time.")
