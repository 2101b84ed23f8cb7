"""Concept files of the database on this host, https://hl7.org/fhir/R4/codesystem.html.

A file is fetched on first use, checked against its SHA-256, and put under its final name in one step; processes of a host
share the folder. It holds nothing that the database doesn't, and may be emptied at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path

from conformance.terminology.files.read import ConceptFile
from fhir_server.errors import Unavailable
from fhir_server.store.code_system_files import StoredFile, list_hashes, read_chunk
from fhir_server.store.database import Database, Session

log = logging.getLogger("praxis.terminology")

_SUFFIX = ".concepts"
_PART = ".part"
# Nobody fetches for so long: what is older was left by a process that died.
_ABANDONED_SECONDS = 3600


async def open_cached(folder: Path, database: Database, file: StoredFile) -> ConceptFile:
    """Return a stored file, from the folder or else fetched from the database.

    Raises Unavailable when it was removed meanwhile, or what is stored is damaged.
    """
    path = folder / f"{file.sha256.hex()}{_SUFFIX}"
    try:
        return await asyncio.to_thread(ConceptFile, path)
    except FileNotFoundError:
        pass
    except ValueError as reason:
        log.warning("fetching a concept file anew: %s", reason)
    async with database.session() as session:
        await _fetch(session, file, path)
        known = await list_hashes(session)
    await asyncio.to_thread(_remove_others, folder, {sha256.hex() for sha256 in known})
    try:
        return await asyncio.to_thread(ConceptFile, path)
    except ValueError as error:
        raise Unavailable(
            f"The stored file of {file.url}|{file.version} is of another version of Praxis; import the release again."
        ) from error


async def _fetch(session: Session, file: StoredFile, path: Path) -> None:
    """Write a file's chunks below another name, then give it its own."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(suffix=_PART, dir=path.parent)
    part = Path(name)
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as out:
            for number in range(file.chunks):
                chunk = await read_chunk(session, file, number)
                if chunk is None:
                    raise Unavailable(f"{file.url}|{file.version} was just removed or replaced; try again.")
                digest.update(chunk)
                await asyncio.to_thread(out.write, chunk)
            out.flush()
            await asyncio.to_thread(os.fsync, out.fileno())
        if digest.digest() != file.sha256:
            raise Unavailable(
                f"The stored file of {file.url}|{file.version} is damaged; import it again (praxis terminology import)."
            )
        await asyncio.to_thread(part.replace, path)
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)


def _remove_others(folder: Path, known: set[str]) -> None:
    """Remove what the database has no more; who has it mapped keeps it until the end."""
    for path in folder.iterdir():
        old = path.suffix == _SUFFIX and path.stem not in known
        abandoned = path.suffix == _PART and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
        if old or abandoned:
            path.unlink(missing_ok=True)
