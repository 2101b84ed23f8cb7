"""Conditional requests, https://hl7.org/fhir/R4/http.html#concurrency and #ccreate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from conformance.decode import decode
from fhir_server.errors import Conflict, InvalidRequest, PreconditionFailed
from fhir_server.interactions.context import Context
from fhir_server.interactions.prepare import has_criteria, is_granted
from fhir_server.interactions.request import Conditions, parse_query
from fhir_server.search import incomplete
from fhir_server.search.execute import Match, SearchPage, search
from fhir_server.store.database import Session
from fhir_server.store.hashing import value_hash
from fhir_server.store.read import Version

ETAG = re.compile(r'(?:W/)?"([^"]*)"')
ETAGS = re.compile(rf"\s*{ETAG.pattern}(?:\s*,\s*{ETAG.pattern})*\s*")
# What a conditional delete may take at once: a page of a search, the most that is found in one statement.
MAX_MATCHES = 1000
BARE_VERSION = re.compile(r"\s*[A-Za-z0-9\-.]{1,64}\s*")
# Search results of conditions are never paged, so their cursors need no secret.
NO_CURSORS = b""


def parse_etags(text: str) -> list[str]:
    """Return the version ids that an ``If-Match``/``If-None-Match`` value lists; a bare version id is taken too."""
    if ETAGS.fullmatch(text):
        return ETAG.findall(text)
    if BARE_VERSION.fullmatch(text):
        return [text.strip()]
    raise InvalidRequest(f"'{text[:80]}' is not an entity tag such as W/\"1\".", code="value")


def check_preconditions(conditions: Conditions, current: Version | None) -> None:
    """Raise PreconditionFailed when a write's ``If-Match`` or ``If-None-Match`` does not hold for the current version.

    ``*`` stands for any version that is not a deletion.
    """
    exists = current is not None and current.content is not None
    version = None if current is None else str(current.version)
    found = "there is none" if current is None else f'the current version is W/"{version}"'
    wanted, unwanted = conditions.if_match, conditions.if_none_match
    if wanted is not None and not (exists if wanted.strip() == "*" else version in parse_etags(wanted)):
        raise PreconditionFailed(f"If-Match asks for {wanted[:80]}, {found}.")
    if unwanted is not None and (exists if unwanted.strip() == "*" else version in parse_etags(unwanted)):
        raise PreconditionFailed(f"If-None-Match rules out {unwanted[:80]}, {found}.")


def is_unchanged(conditions: Conditions, version: Version) -> bool:
    """Tell whether a conditional read may answer 304; ``If-None-Match`` goes before ``If-Modified-Since``."""
    if conditions.if_none_match is not None:
        wanted = conditions.if_none_match
        return wanted.strip() == "*" or str(version.version) in parse_etags(wanted)
    if conditions.if_modified_since is not None:
        return _is_not_later(version.last_updated, conditions.if_modified_since)
    return False


def _is_not_later(last_updated: datetime, since: str) -> bool:
    """Compare with an HTTP date, which has whole seconds, or with the instant that a Bundle's entry gives."""
    try:
        instant = datetime.fromisoformat(since) if since[:1].isdigit() else None
        when = parsedate_to_datetime(since) if instant is None else instant
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise InvalidRequest("If-Modified-Since is neither an HTTP date nor an instant.", code="value") from error
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return (last_updated.replace(microsecond=0) if instant is None else last_updated) <= when


def is_visible(context: Context, resource_type: str, content: bytes) -> bool:
    """Tell whether a grant lets the caller read this content. The content is parsed only when grants have criteria."""
    if not has_criteria(context.caller, "read", resource_type):
        return True
    return is_granted(context, "read", decode(content, resource_type))


def condition_lock(tenant: int, resource_type: str, query: Sequence[tuple[str, str]]) -> int:
    """Return the advisory lock under which equal conditions take turns."""
    return value_hash(f"{tenant}\x1f{resource_type}\x1f{sorted(query)}")


async def take_locks(session: Session, locks: Sequence[int]) -> None:
    """Take advisory locks for the length of the transaction, in a fixed order so that nobody deadlocks."""
    for lock in sorted(set(locks)):
        await session.fetch("SELECT pg_advisory_xact_lock(%s)", (lock,))


NOT_CRITERIA = (
    "_sort",
    "_count",
    "_include",
    "_revinclude",
    "_total",
    "_cursor",
    "_summary",
    "_elements",
    "_contained",
    "_containedType",
)


def check_condition(query: Sequence[tuple[str, str]], what: str) -> list[tuple[str, str]]:
    """Return the criteria of a condition; raises when there are none, or what is no criterion."""
    pairs = [p for p in query if p[0] not in ("_format", "_pretty")]
    if not pairs or any(not value for _, value in pairs):
        raise PreconditionFailed(f"{what} has no search criterion.", code="invalid")
    for name, _ in pairs:
        if name.split(":")[0] in NOT_CRITERIA:
            raise InvalidRequest(f"{what} can't use {name[:80]}.", code="invalid")
    return pairs


def parse_condition(text: str, resource_type: str, what: str) -> list[tuple[str, str]]:
    """Parse a condition on a type given as text: ``identifier=1``, ``?identifier=1`` or ``Patient?identifier=1``."""
    path, mark, query = text.partition("?")
    if not mark or "=" in path:  # the question mark, if any, is part of a value
        return check_condition(parse_query(text), what)
    if path.rpartition("/")[2] not in ("", resource_type):
        raise InvalidRequest(f"{what} is about {path[:80]}, not {resource_type}.", code="value")
    return check_condition(parse_query(query), what)


async def find_one(
    context: Context, session: Session, resource_type: str, query: Sequence[tuple[str, str]], what: str
) -> Match | None:
    """Return the one match of a condition, or None; raises PreconditionFailed when there are several.

    Unknown parameters are refused: a condition that silently loses a criterion would hit the wrong resource.
    """
    matches = (await _find(context, session, resource_type, query, 2)).matches
    if len(matches) > 1:
        raise PreconditionFailed(f"{what} matches several resources.", code="multiple-matches")
    return matches[0] if matches else None


async def find_all(
    context: Context, session: Session, resource_type: str, query: Sequence[tuple[str, str]], what: str
) -> list[Match]:
    """Return every match of a condition; raises PreconditionFailed when there are more than MAX_MATCHES."""
    page = await _find(context, session, resource_type, query, MAX_MATCHES)
    if page.next_cursor is not None:
        raise PreconditionFailed(
            f"{what} matches more than {MAX_MATCHES} resources, the most that one request may change; narrow it.",
            code="too-costly",
        )
    return page.matches


async def _find(
    context: Context, session: Session, resource_type: str, query: Sequence[tuple[str, str]], limit: int
) -> SearchPage:
    """Search by a condition; raises PreconditionFailed where the index doesn't cover all resources yet."""
    await session.plan_by_value()
    page = await search(
        session,
        context.caller,
        resource_type,
        [*query, ("_count", str(limit))],
        cursor_key=NO_CURSORS,
        strict=True,
        registry=context.parameters,
        base_url=context.base_url,
        terminologies=context.server.terminologies,
    )
    for issue in page.issues:
        if issue.code == incomplete.CODE:
            raise PreconditionFailed(f"A condition must not miss a match. {issue.diagnostics}", code=issue.code)
    return page


def check_unchanged(resource_type: str, match: Match, current: Version | None) -> Version:
    """Return the version that a condition matched; raises Conflict when another took its place since.

    What replaced it may no longer fulfil the condition, so the condition has to be asked again.
    """
    if current is None or current.content is None:
        raise Conflict(f"The {resource_type} that matched was deleted at the same time; try again.")
    if current.version != match.version:
        raise Conflict(f"The {resource_type} that matched was changed at the same time; try again.")
    return current
