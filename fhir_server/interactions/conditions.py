"""Conditional requests, https://hl7.org/fhir/R4/http.html#concurrency and #ccreate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

from conformance.decode import decode
from fhir_server.auth.caller import Caller
from fhir_server.errors import InvalidRequest, PreconditionFailed
from fhir_server.interactions.prepare import has_criteria, is_granted
from fhir_server.interactions.request import Conditions, parse_query
from fhir_server.search.execute import search
from fhir_server.store.database import Session
from fhir_server.store.hashing import value_hash
from fhir_server.store.read import Version

ETAG = re.compile(r'(?:W/)?"([^"]*)"')
ETAGS = re.compile(rf"\s*{ETAG.pattern}(?:\s*,\s*{ETAG.pattern})*\s*")
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
        try:
            since = parsedate_to_datetime(conditions.if_modified_since)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise InvalidRequest("If-Modified-Since is not an HTTP date.", code="value") from error
        since = since.replace(tzinfo=UTC) if since.tzinfo is None else since
        return version.last_updated.replace(microsecond=0) <= since
    return False


def is_visible(caller: Caller, resource_type: str, content: bytes) -> bool:
    """Tell whether a grant lets the caller read this content. The content is parsed only when grants have criteria."""
    return not has_criteria(caller, "read", resource_type) or is_granted(caller, "read", decode(content, resource_type))


def condition_lock(tenant: int, resource_type: str, query: Sequence[tuple[str, str]]) -> int:
    """Return the advisory lock under which equal conditions take turns."""
    return value_hash(f"{tenant}\x1f{resource_type}\x1f{sorted(query)}")


async def take_locks(session: Session, locks: Sequence[int]) -> None:
    """Take advisory locks for the length of the transaction, in a fixed order so that nobody deadlocks."""
    for lock in sorted(set(locks)):
        await session.fetch("SELECT pg_advisory_xact_lock(%s)", (lock,))


NOT_CRITERIA = ("_sort", "_count", "_include", "_revinclude", "_total", "_cursor", "_summary", "_elements")


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
    session: Session, caller: Caller, resource_type: str, query: Sequence[tuple[str, str]], what: str
) -> str | None:
    """Return the id of the one match of a condition, or None; raises PreconditionFailed when there are several.

    Unknown parameters are refused: a condition that silently loses a criterion would hit the wrong resource.
    """
    await session.plan_by_value()
    page = await search(session, caller, resource_type, [*query, ("_count", "2")], cursor_key=NO_CURSORS, strict=True)
    if len(page.matches) > 1:
        raise PreconditionFailed(f"{what} matches several resources.", code="multiple-matches")
    return page.matches[0].id if page.matches else None
