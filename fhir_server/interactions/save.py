"""The last step of create, update and patch: one resource becomes a change, is written and answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fhir_server.interactions.commit import write_changes
from fhir_server.interactions.conditions import is_visible
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import prepare_write
from fhir_server.interactions.request import Answer
from fhir_server.interactions.validate import find_issues, require_valid
from fhir_server.store.database import Session
from fhir_server.store.read import Version
from fhir_server.store.write import Change


def answer_change(change: Change) -> Answer:
    """Answer a write: 201 for a new resource (or one brought back to life), 200 for a new version."""
    created = change.expected_version is None or change.revives
    return Answer(
        201 if created else 200,
        change.content,
        change.resource_type,
        change.id,
        change.version,
        change.last_updated,
        created=created,
    )


def without_unreadable(context: Context, answer: Answer) -> Answer:
    """Take out content that the caller did not send and may not read, so that the answer tells no more than its headers.

    What a create or an update sends is the caller's own and may be shown to it as stored.
    """
    if answer.content is not None and not is_visible(context, str(answer.resource_type), answer.content):
        answer.content = None
    return answer


async def save(
    context: Context,
    session: Session,
    resource: dict[str, Any],
    id_: str,
    now: datetime,
    *,
    replaces: Version | None,
    method: str,
) -> Answer:
    """Write one resource, under the server's policies: on validity, and on references (for which the session must be in a transaction)."""
    change = prepare_write(context, resource, id_, now, replaces=replaces, method=method)
    (found,) = await find_issues(context, session, [resource], len(change.content or b""))
    issues = require_valid(context, resource, found)
    await write_changes(context, session, [change])
    answer = answer_change(change)
    answer.issues = issues
    return answer
