"""$install-package: installs a FHIR package for the caller's tenant, https://hl7.org/fhir/packages.html.

An operation of this server's own. Its content isn't copied to the tenant's resources: it lies beside them, and is found by
canonical URLs. https://praxis.example/fhir/OperationDefinition/install-package
"""

from __future__ import annotations

import asyncio
import base64
import io
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from conformance.decode import decode, encode
from conformance.definitions import resource_types
from conformance.issues import Issue
from conformance.packages import Definition, InvalidPackage, Package, find_missing, read_package
from fhir_server.errors import Forbidden, InvalidRequest, NotSupported, Unprocessable
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.definitions import load
from fhir_server.operations.parameters import find_issues, from_query, from_resource, value
from fhir_server.operations.reindex import add_reindexing
from fhir_server.search.tenant_parameters import read_tenant_parameters
from fhir_server.store.database import Session
from fhir_server.store.index_state import count_generation
from fhir_server.store.packages import (
    PackageResource,
    count_definition_generation,
    delete_packages,
    insert_package,
    list_packages,
)

_DEFINITION: Resource = load("install-package")
_ARCHIVES = frozenset(("application/gzip", "application/x-gzip", "application/tar+gzip", "application/octet-stream"))
_JSON_TYPES = frozenset(("application/fhir+json", "application/json"))


@dataclass(frozen=True, slots=True)
class Content:
    """A package ready to be stored; ``notes`` name what was left out, and why."""

    package: Package
    resources: list[PackageResource]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Installed:
    """What installing changed: URLs of SearchParameters that add something, types to be indexed anew, what is missing."""

    search_parameters: list[str]
    types: list[str]
    missing: list[str]


def read_content(archive: bytes) -> Content:
    """Read a package. Raises InvalidRequest when it is none."""
    try:
        package = read_package(io.BytesIO(archive))
    except InvalidPackage as error:
        raise InvalidRequest.of(error.issues) from error
    notes = [f"{name}: {reason}" for name, reason in package.skipped]
    return Content(package, [_resource(definition) for definition in package.definitions], notes)


def _resource(definition: Definition) -> PackageResource:
    profiled = revision = None
    resource, content = definition.resource, definition.content
    if definition.resource_type == "StructureDefinition":
        type_ = resource.get("type")
        if resource.get("derivation") == "constraint" and type_ in resource_types():
            profiled = str(type_)
    elif definition.resource_type == "SearchParameter":
        revision = zlib.crc32(content) >> 1
    return PackageResource(definition.resource_type, definition.url, definition.version, content, profiled, revision)


async def install(
    session: Session, tenant: int, content: Content, *, ignore_missing: bool, subject: str, base_url: str, now: datetime
) -> Installed:
    """Install a package in the session's transaction, in place of the one of its name and version.

    Raises Unprocessable when packages that it depends on aren't there, unless they shall be ignored.
    """
    package = content.package
    there = [(p.name, p.version) for p in await list_packages(session, tenant)]
    missing = find_missing(package.dependencies, there)
    if missing and not ignore_missing:
        raise Unprocessable.of([_missing_issue(package, name, there) for name in missing])
    await insert_package(
        session,
        tenant,
        package.name,
        package.version,
        encode(package.manifest),
        content.resources,
        missing=missing,
        subject=subject,
        now=now,
    )
    await _tell_all(session, tenant)
    parameters = await read_tenant_parameters(session, tenant)
    own = {r.url for r in content.resources if r.revision is not None}
    types = sorted({resource_type for resource_type, _ in parameters.incomplete})
    if types:
        await add_reindexing(session, tenant, subject, types, base_url, now)
    return Installed(sorted(own.intersection(parameters.owners.values())), types, missing)


def _missing_issue(package: Package, missing: str, there: Iterable[tuple[str, str]]) -> Issue:
    name = missing.partition("#")[0]
    others = ", ".join(version for known, version in there if known == name)
    has = f" (installed: {others})" if others else ""
    return Issue("error", "not-found", f"{package.name}#{package.version} needs {missing}, which isn't installed{has}.")


async def remove(session: Session, tenant: int, name: str, version: str | None) -> list[str]:
    """Remove a package, of all versions if none is given, in the session's transaction; return the versions removed.

    Index entries that its SearchParameters made stay behind, where nothing looks for them.
    """
    versions = await delete_packages(session, tenant, name, version)
    if versions:
        await _tell_all(session, tenant)
    return versions


async def _tell_all(session: Session, tenant: int) -> None:
    await count_generation(session, tenant)
    await count_definition_generation(session, tenant)


def _require_permission(context: ServerContext, content: Content) -> None:
    """Raise Forbidden unless the caller may create whatever it likes of all the types."""
    for resource_type in sorted({r.resource_type for r in content.resources}):
        if all(grant.criteria for grant in context.caller.grants_for("create", resource_type)):
            raise Forbidden(f"{context.subject} may not install a {resource_type}.")


def _read_input(invocation: Invocation) -> tuple[bytes, bool]:
    """Return the archive and whether missing dependencies are ignored. Raises InvalidRequest, NotSupported."""
    body = invocation.body or b""
    given = from_query(_DEFINITION, invocation.query).get("parameter", [])
    parameters: Resource = {"resourceType": "Parameters"}
    if invocation.media_type in _ARCHIVES:
        package = {"resourceType": "Binary", "contentType": "application/gzip"}
        given = [{"name": "package", "resource": package}, *given]
    elif invocation.media_type in _JSON_TYPES:
        parameters = from_resource(_DEFINITION, decode(body))
    else:
        raise NotSupported("$install-package takes application/gzip or application/fhir+json.", status=415)
    parameters = {**parameters, "parameter": [*parameters.get("parameter", ()), *given]}
    issues = find_issues(parameters, _DEFINITION, "in")
    if issues:
        raise InvalidRequest.of(issues)
    if invocation.media_type in _JSON_TYPES:
        body = base64.b64decode(value(parameters, "package").get("data", ""))
    return body, bool(value(parameters, "ignoreMissing"))


async def _install(invocation: Invocation, context: ServerContext) -> Resource:
    archive, ignore_missing = _read_input(invocation)
    # Unpacking takes moments, in which others shall not wait.
    content = await asyncio.to_thread(read_content, archive)
    _require_permission(context, content)
    context.note_definitions()

    async def attempt(session: Session) -> Installed:
        return await install(
            session,
            context.caller.tenant,
            content,
            ignore_missing=ignore_missing,
            subject=context.subject,
            base_url=context.base_url,
            now=context.now,
        )

    installed = await context.persist(attempt)
    package = content.package
    told: list[tuple[str, str, str | int]] = [
        ("name", "valueString", package.name),
        ("version", "valueString", package.version),
        ("resources", "valueUnsignedInt", len(content.resources)),
        *(("searchParameter", "valueUri", url) for url in installed.search_parameters),
        *(("reindexed", "valueCode", name) for name in installed.types),
        *(("missing", "valueString", name) for name in installed.missing),
        *(("skipped", "valueString", note) for note in content.notes),
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": name, kind: what} for name, kind, what in told]}


INSTALL = BuiltIn(_DEFINITION, _install, raw=True)
