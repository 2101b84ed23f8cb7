"""The packages that tenants have installed, and their definitions, https://hl7.org/fhir/packages.html.

A tenant's ``definition_generation`` counts the commits that changed definitions: triggers count those of resources of the
``COUNTED_TYPES``, whoever installs or removes a package counts it. Processes compare it with the one they know, see
:mod:`fhir_server.search.definitions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from fhir_server.store.canonical import Session as Reading
from fhir_server.store.database import Session
from fhir_server.store.tables import metadata, type_ids

COUNTED_TYPES = frozenset(
    (
        "CodeSystem",
        "ConceptMap",
        "OperationDefinition",
        "Questionnaire",
        "SearchParameter",
        "StructureDefinition",
        "StructureMap",
        "ValueSet",
    )
)
"""The types whose resources say how others are to be understood; changes to them are counted."""

package = Table(
    "package",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("name", Text(collation="C"), nullable=False),
    Column("version", Text(collation="C"), nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("missing", ARRAY(Text), nullable=False),  # dependencies that weren't there, as name#version
    Column("subject", Text, nullable=False),
    Column("installed_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version"),
)
package_resource = Table(
    "package_resource",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("url", Text(collation="C"), nullable=False),
    Column("version", Text(collation="C"), nullable=False),
    Column("package", Text(collation="C"), nullable=False),
    Column("package_version", Text(collation="C"), nullable=False),
    Column("profiled", Text(collation="C")),  # the resource type that a profile constrains
    Column("revision", Integer),  # of a SearchParameter: a number made from its content
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "type", "url", "version", "package", "package_version"),
    ForeignKeyConstraint(
        ["tenant", "package", "package_version"],
        ["package.tenant", "package.name", "package.version"],
        name="package_resource_package",
        ondelete="CASCADE",
    ),
    Index("package_resource_of", "tenant", "package", "package_version"),
)
definition_generation = Table(
    "definition_generation",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant"),
)


@dataclass(frozen=True, slots=True)
class PackageResource:
    """A definition of a package; ``profiled`` and ``revision`` as in the table."""

    resource_type: str
    url: str
    version: str
    content: bytes
    profiled: str | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A package that is installed; ``missing`` names the dependencies that weren't, as ``name#version``."""

    name: str
    version: str
    missing: Sequence[str]
    subject: str
    installed_at: datetime
    resources: int


async def insert_package(
    session: Session,
    tenant: int,
    name: str,
    version: str,
    manifest: bytes,
    resources: Sequence[PackageResource],
    *,
    missing: Sequence[str],
    subject: str,
    now: datetime,
) -> None:
    """Store a package in place of the one of its name and version, in the session's transaction."""
    await delete_packages(session, tenant, name, version)
    await session.execute(
        "INSERT INTO package (tenant, name, version, manifest, missing, subject, installed_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (tenant, name, version, manifest, list(missing), subject, now),
    )
    numbers = type_ids()
    await session.execute(
        "INSERT INTO package_resource (tenant, package, package_version, type, url, version, profiled, revision, content) "
        "SELECT %s, %s, %s, x.* FROM unnest(%s::int2[], %s::text[], %s::text[], %s::text[], %s::int4[], %s::bytea[]) AS x",
        (
            tenant,
            name,
            version,
            [numbers[r.resource_type] for r in resources],
            [r.url for r in resources],
            [r.version for r in resources],
            [r.profiled for r in resources],
            [r.revision for r in resources],
            [r.content for r in resources],
        ),
    )


async def delete_packages(session: Session, tenant: int, name: str, version: str | None) -> list[str]:
    """Remove a package, of all versions if none is given; return the versions removed."""
    rows = await session.fetch(
        "DELETE FROM package WHERE tenant = %s AND name = %s AND version = COALESCE(%s::text, version) RETURNING version",
        (tenant, name, version),
    )
    return sorted(row[0] for row in rows)


async def list_packages(session: Session, tenant: int) -> list[InstalledPackage]:
    """Return the tenant's packages by name and version."""
    rows = await session.fetch(
        "SELECT p.name, p.version, p.missing, p.subject, p.installed_at, (SELECT count(*) FROM package_resource AS r "
        "WHERE r.tenant = p.tenant AND r.package = p.name AND r.package_version = p.version) "
        "FROM package AS p WHERE p.tenant = %s ORDER BY p.name, p.version",
        (tenant,),
    )
    return [InstalledPackage(*row) for row in rows]


async def find_in_packages(session: Reading, tenant: int, resource_type: str, url: str) -> list[tuple[str, bytes]]:
    """Return version and content of a tenant's package resources with a URL, those installed last first."""
    rows = await session.fetch(
        "SELECT r.version, r.content FROM package_resource AS r JOIN package AS p "
        "ON (p.tenant, p.name, p.version) = (r.tenant, r.package, r.package_version) "
        "WHERE r.tenant = %s AND r.type = %s AND r.url = %s ORDER BY p.installed_at DESC, p.name",
        (tenant, type_ids()[resource_type], url),
    )
    return [(version, bytes(content)) for version, content in rows]


async def read_guides(session: Reading, tenant: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (URL, version) of the packages' ImplementationGuides, and (resource type, URL) of their profiles, sorted."""
    rows = await session.fetch(
        "SELECT DISTINCT profiled, url, CASE WHEN profiled IS NULL THEN version END FROM package_resource "
        "WHERE tenant = %s AND (type = %s OR profiled IS NOT NULL) ORDER BY 1, 2, 3",
        (tenant, type_ids()["ImplementationGuide"]),
    )
    guides = [(url, version) for profiled, url, version in rows if profiled is None]
    return guides, [(profiled, url) for profiled, url, _ in rows if profiled is not None]


async def count_definition_generation(session: Session, tenant: int) -> None:
    """Tell all processes that the tenant's definitions have changed."""
    await session.execute(
        "INSERT INTO definition_generation (tenant, generation) VALUES (%s, 1) "
        "ON CONFLICT (tenant) DO UPDATE SET generation = definition_generation.generation + 1",
        (tenant,),
    )
