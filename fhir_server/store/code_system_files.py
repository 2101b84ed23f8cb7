"""Imported code systems as concept files in the database, https://hl7.org/fhir/R4/codesystem.html.

A file is stored in chunks under its SHA-256, and can be seen once it is whole. Several versions of a code system may be there;
one of them is current, which is the one that a canonical URL without version means. A tenant's ``generation`` counts what
changed, so that processes notice: see :mod:`fhir_server.store.code_systems`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from fhir_server.errors import Conflict
from fhir_server.store.database import Session
from fhir_server.store.tables import metadata

EVERY_TENANT = 0
"""What is stored for this tenant is there for all."""
CHUNK_BYTES = 1_000_000

code_system_file = Table(
    "code_system_file",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("url", Text(collation="C"), nullable=False),
    Column("version", Text(collation="C"), nullable=False),
    Column("title", Text, nullable=False),
    Column("concepts", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),  # in bytes
    Column("whole", Boolean, nullable=False),
    Column("current", Boolean, nullable=False),
    Column("imported_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("tenant", "sha256"),
)
Index(
    "code_system_file_version",
    code_system_file.c.tenant,
    code_system_file.c.url,
    code_system_file.c.version,
    unique=True,
    postgresql_where=text("whole"),
)
code_system_chunk = Table(
    "code_system_chunk",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("number", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "sha256", "number"),
    ForeignKeyConstraint(
        ["tenant", "sha256"],
        ["code_system_file.tenant", "code_system_file.sha256"],
        name="code_system_chunk_file",
        ondelete="CASCADE",
    ),
)
code_system_generation = Table(
    "code_system_generation",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant"),
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What is known of a stored file; ``size`` in bytes. One that isn't whole is an import that was interrupted."""

    tenant: int
    sha256: bytes
    url: str
    version: str
    title: str
    concepts: int
    size: int
    whole: bool
    current: bool
    imported_at: datetime

    @property
    def chunks(self) -> int:
        """How many chunks the file has."""
        return -(-self.size // CHUNK_BYTES)


async def store_file(
    session: Session, tenant: int, path: Path, resource: Mapping[str, object], progress: Callable[[int, int], None]
) -> StoredFile:
    """Store a concept file of the CodeSystem ``resource`` and make it the current one; it is visible from the end on.

    Each chunk is stored by itself: an import that was interrupted goes on where it was when the same file comes again.
    ``progress`` hears how many of how many chunks are there. Raises Conflict when it was removed while it came.
    """
    size, sha256 = await asyncio.to_thread(_measure, path)
    file = _describe(tenant, sha256, size, resource)
    stored = await _begin(session, file)
    with path.open("rb") as content:
        for number in range(file.chunks):
            if number not in stored:
                content.seek(number * CHUNK_BYTES)
                await _put_chunk(session, file, number, await asyncio.to_thread(content.read, CHUNK_BYTES))
            progress(number + 1, file.chunks)
    await _finish(session, file)
    return file


def _measure(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").digest()
        return content.tell(), sha256


def _describe(tenant: int, sha256: bytes, size: int, resource: Mapping[str, object]) -> StoredFile:
    """Return what is to be stored of a file, as of now."""
    count = resource.get("count")
    return StoredFile(
        tenant,
        sha256,
        str(resource["url"]),
        str(resource.get("version", "")),
        str(resource.get("title", resource["url"])),
        count if isinstance(count, int) else 0,
        size,
        whole=False,
        current=False,
        imported_at=datetime.now(UTC),
    )


async def _begin(session: Session, file: StoredFile) -> frozenset[int]:
    """Note a file that is about to be stored; return the numbers of the chunks that are there from an earlier attempt."""
    await session.execute(
        "INSERT INTO code_system_file "
        "(tenant, sha256, url, version, title, concepts, size, whole, current, imported_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, false, false, %s) ON CONFLICT (tenant, sha256) DO NOTHING",
        (
            file.tenant,
            file.sha256,
            file.url,
            file.version,
            file.title,
            file.concepts,
            file.size,
            file.imported_at,
        ),
    )
    rows = await session.fetch(
        "SELECT number FROM code_system_chunk WHERE tenant = %s AND sha256 = %s", (file.tenant, file.sha256)
    )
    return frozenset(number for (number,) in rows)


async def _put_chunk(session: Session, file: StoredFile, number: int, content: bytes) -> None:
    """Store a chunk: CHUNK_BYTES from that multiple of them on."""
    await session.execute(
        "INSERT INTO code_system_chunk (tenant, sha256, number, content) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (tenant, sha256, number) DO NOTHING",
        (file.tenant, file.sha256, number, content),
    )


async def _finish(session: Session, file: StoredFile) -> None:
    """Make a stored file visible and current, in one transaction.

    It takes the place of another file of the same version, and of interrupted imports of it.
    """
    async with session.transaction():
        rows = await session.fetch(
            "SELECT count(*), coalesce(sum(octet_length(content)), 0)::int8 FROM code_system_chunk "
            "WHERE tenant = %s AND sha256 = %s",
            (file.tenant, file.sha256),
        )
        if tuple(rows[0]) != (file.chunks, file.size):
            raise Conflict(f"{file.url}|{file.version} was removed while it was being imported; import it again.")
        await _count_generation(session, file.tenant)
        await session.execute(
            "DELETE FROM code_system_file WHERE tenant = %s AND url = %s AND version = %s AND sha256 <> %s",
            (file.tenant, file.url, file.version, file.sha256),
        )
        await session.execute(
            "UPDATE code_system_file SET current = (sha256 = %s), whole = whole OR sha256 = %s "
            "WHERE tenant = %s AND url = %s",
            (file.sha256, file.sha256, file.tenant, file.url),
        )


async def remove_files(session: Session, tenant: int, url: str, version: str | None) -> int:
    """Remove a code system's files, or those of one version, and return how many.

    When the current one goes, the one that was imported last becomes current.
    """
    async with session.transaction():
        await _count_generation(session, tenant)
        count = await session.execute(
            "DELETE FROM code_system_file WHERE tenant = %s AND url = %s AND version = coalesce(%s::text, version)",
            (tenant, url, version),
        )
        await session.execute(
            "UPDATE code_system_file SET current = true WHERE tenant = %s AND sha256 = ("
            "SELECT sha256 FROM code_system_file WHERE tenant = %s AND url = %s AND whole "
            "ORDER BY current DESC, imported_at DESC LIMIT 1)",
            (tenant, tenant, url),
        )
    return count


async def list_files(session: Session, tenant: int) -> list[StoredFile]:
    """Return a tenant's files, then those that are there for all; interrupted imports too; of a URL the current one first."""
    rows = await session.fetch(
        "SELECT tenant, sha256, url, version, title, concepts, size, whole, current, imported_at FROM code_system_file "
        "WHERE tenant = ANY(%s::int4[]) ORDER BY tenant = %s, url, current DESC, imported_at DESC",
        ([tenant, EVERY_TENANT], EVERY_TENANT),
    )
    return [StoredFile(row[0], bytes(row[1]), *row[2:]) for row in rows]


async def list_hashes(session: Session) -> frozenset[bytes]:
    """Return the SHA-256 of every file of every tenant."""
    rows = await session.fetch("SELECT sha256 FROM code_system_file WHERE whole")
    return frozenset(bytes(sha256) for (sha256,) in rows)


async def read_chunk(session: Session, file: StoredFile, number: int) -> bytes | None:
    """Return a chunk of a whole file, None when the file was removed."""
    rows = await session.fetch(
        "SELECT c.content FROM code_system_chunk AS c JOIN code_system_file AS f USING (tenant, sha256) "
        "WHERE c.tenant = %s AND c.sha256 = %s AND c.number = %s AND f.whole",
        (file.tenant, file.sha256, number),
        steady=True,
    )
    return bytes(rows[0][0]) if rows else None


async def read_generations(session: Session, tenant: int) -> Mapping[int, int]:
    """Return the generations of a tenant and of what is there for all, in one statement."""
    rows = await session.fetch(
        "SELECT tenant, generation FROM code_system_generation WHERE tenant = ANY(%s::int4[])",
        ([EVERY_TENANT, tenant],),
        steady=True,
    )
    return dict(rows)


async def _count_generation(session: Session, tenant: int) -> None:
    """Tell all processes that a tenant's files have changed; changes of one tenant come one after the other."""
    await session.execute(
        "INSERT INTO code_system_generation (tenant, generation) VALUES (%s, 1) "
        "ON CONFLICT (tenant) DO UPDATE SET generation = code_system_generation.generation + 1",
        (tenant,),
    )
