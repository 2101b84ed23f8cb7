"""Composition/$document: a Composition with all that it refers to, https://hl7.org/fhir/R4/composition-operation-document.html.

References are followed from the Composition on, through everything they lead to. The document's identifier is made from
the versions in it, so the same content always has the same one, and a document that is stored already isn't stored again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from conformance.decode import decode, encode
from conformance.issues import Issue
from fhir_server.errors import Gone, InvalidRequest, NotFound, NotSupported, Unprocessable
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation
from fhir_server.operations.definitions import official
from fhir_server.operations.links import ID_TEXT, instant_text, references_in
from fhir_server.operations.parameters import value
from fhir_server.search.condition import Condition
from fhir_server.search.environment import Environment
from fhir_server.search.members import allowed_parts
from fhir_server.search.row import HasId
from fhir_server.search.searchset import Match
from fhir_server.search.sql import included
from fhir_server.store.database import Session
from fhir_server.store.read import read

MOST = 1000
"""Resources of a document at most."""
URN = "urn:ietf:rfc:3986"
Address = tuple[str, str]


def _composition_id(invocation: Invocation, context: ServerContext) -> str:
    given = value(invocation.parameters, "id")
    if invocation.id is not None:
        if given is not None:
            raise InvalidRequest("The parameter id can't be used on a particular Composition.", code="invalid")
        return invocation.id
    if given is None:
        raise InvalidRequest("$document needs the id of a Composition.", code="required")
    id_ = given.removeprefix(f"{context.base_url}/").removeprefix("Composition/")
    if not ID_TEXT.fullmatch(id_):
        raise NotSupported(f"'{given[:200]}' is no Composition of this server.", status=422)
    return str(id_)


async def _read_composition(context: ServerContext, session: Session, id_: str) -> Match:
    found = await read(session, context.caller.tenant, "Composition", id_)
    if found is None or (found.content is not None and not context.may_read("Composition", found.content)):
        raise NotFound(f"Composition/{id_} is not known.")
    if found.content is None:
        raise Gone(f"Composition/{id_} was deleted.")
    return Match("Composition", id_, found.version, found.last_updated, found.content, found.key or 0)


async def _read_all(context: ServerContext, session: Session, wanted: Iterable[Address]) -> list[Match]:
    """Return those of the resources that are there and may be read."""
    by_type: dict[str, list[str]] = {}
    for resource_type, id_ in wanted:
        by_type.setdefault(resource_type, []).append(id_)
    environment = Environment(context.caller.tenant, context.parameters, context.base_url)
    conditions: list[tuple[str, Condition]] = [(name, HasId(tuple(ids))) for name, ids in by_type.items()]
    parts = allowed_parts(conditions, context.caller, environment)
    if not parts:
        return []
    rows = await session.fetch(*included(context.caller.tenant, parts, MOST))
    return [Match(row[0], row[2], row[3], row[4], row[5], row[1]) for row in rows]


async def _gather(context: ServerContext, composition: Match) -> list[Match]:
    """Return the Composition and, level by level, what it leads to; raises Unprocessable naming all that is missing."""
    found: dict[Address, Match] = {("Composition", composition.id): composition}
    missing: dict[Address, str] = {}
    level = [composition]
    while level:
        wanted: dict[Address, str] = {}
        for match in level:
            for address in references_in(match.content, context.base_url):
                if address not in found and address not in missing:
                    wanted.setdefault(address, f"{match.resource_type}/{match.id}")
        if len(found) + len(wanted) > MOST:
            raise Unprocessable(f"The document would hold more than {MOST} resources.", code="too-costly")
        async with context.searching() as session:
            read_now = {(m.resource_type, m.id): m for m in await _read_all(context, session, wanted)}
        missing |= {address: source for address, source in wanted.items() if address not in read_now}
        level = [read_now[address] for address in wanted if address in read_now]
        found |= {(match.resource_type, match.id): match for match in level}
    if missing:
        raise Unprocessable.of(
            [
                Issue("error", "not-found", f"{source} refers to {name}/{id_}, which can't be read.")
                for (name, id_), source in missing.items()
            ]
        )
    return list(found.values())


def _check_external(composition: Match, context: ServerContext) -> None:
    """Raise Unprocessable when the Composition itself refers to other servers: a document must hold all that it names."""
    own = f"{context.base_url}/"
    issues = [
        Issue("error", "not-supported", f"The reference {target[:200]} leads to another server.")
        for target in _targets(msgspec.json.decode(composition.content))
        if "://" in target and not target.startswith(own)
    ]
    if issues:
        raise Unprocessable.of(issues)


def _targets(inner: Any) -> Iterable[str]:
    if isinstance(inner, dict):
        for name, below in inner.items():
            if name == "reference" and isinstance(below, str):
                yield below
            yield from _targets(below)
    elif isinstance(inner, list):
        for below in inner:
            yield from _targets(below)


def _bundle(context: ServerContext, resources: list[Match]) -> bytes:
    versions = sorted(f"{context.base_url}/{m.resource_type}/{m.id}/_history/{m.version}" for m in resources)
    return encode(
        {
            "resourceType": "Bundle",
            "identifier": {"system": URN, "value": f"urn:uuid:{uuid5(NAMESPACE_URL, chr(10).join(versions))}"},
            "type": "document",
            "timestamp": instant_text(context.now),
            "entry": [
                {
                    "fullUrl": f"{context.base_url}/{m.resource_type}/{m.id}",
                    "resource": msgspec.Raw(m.content),
                }
                for m in resources
            ],
        }
    )


async def _persist(context: ServerContext, document: bytes) -> bytes:
    """Store the document and return it as stored; the one that is there already, if the content is the same."""
    bundle = decode(document, "Bundle")
    identifier = bundle["identifier"]
    request = {
        "method": "POST",
        "url": "Bundle",
        "ifNoneExist": f"identifier={identifier['system']}|{identifier['value']}",
    }
    written = await context.write(
        {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": bundle, "request": request}]}
    )
    stored = written["entry"][0].get("resource")  # left out where the caller may not read what is there already
    return document if stored is None else encode(stored)


async def document(invocation: Invocation, context: ServerContext) -> bytes:
    """Return the document Bundle, stored with ``persist``.

    Raises Unprocessable with one issue for each reference that leads nowhere.
    """
    persist = value(invocation.parameters, "persist")
    if persist and invocation.read_only:
        raise NotSupported("$document with persist changes data, so it is called by POST.")
    if value(invocation.parameters, "graph") is not None:
        raise InvalidRequest("The parameter graph is not supported: all references are followed.", code="not-supported")
    context.require("read", "Composition")
    id_ = _composition_id(invocation, context)
    async with context.session() as session:
        composition = await _read_composition(context, session, id_)
    _check_external(composition, context)
    made = _bundle(context, await _gather(context, composition))
    return await _persist(context, made) if persist else made


DOCUMENT = BuiltIn(official("Composition-document"), document)
