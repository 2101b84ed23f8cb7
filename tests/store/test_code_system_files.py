"""Imported code systems: stored in chunks, visible when whole, found by every process within a second."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

from conformance.terminology.code_system import Concept
from conformance.terminology.errors import MissingResource
from conformance.terminology.files.read import ConceptFile
from conformance.terminology.files.write import write_concepts
from fhir_server.errors import Unavailable
from fhir_server.store import code_system_files, code_systems
from fhir_server.store.code_system_files import EVERY_TENANT, StoredFile, list_files, remove_files, store_file
from fhir_server.store.code_systems import CodeSystems
from fhir_server.store.database import Database, Session

T = TypeVar("T")
URL = "http://example.org/big"
TENANT = 7


@pytest.fixture(autouse=True)
def _empty(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No files; chunks of 1,000 bytes, and processes that ask at every turn."""
    monkeypatch.setattr(code_system_files, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(code_systems, "REFRESH_SECONDS", 0.0)
    yield
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM code_system_file")


def run(dsn: str, act: Callable[[Database], Awaitable[T]]) -> T:
    async def whole() -> T:
        database = Database(dsn, max_connections=2)
        await database.open()
        try:
            return await act(database)
        finally:
            await database.close()

    return asyncio.run(whole())


def made(folder: Path, version: str, url: str = URL, count: int = 40) -> Path:
    path = folder / f"{version.rpartition('/')[2]}.made"
    resource = {"resourceType": "CodeSystem", "url": url, "version": version, "title": "Big", "content": "complete"}
    write_concepts(path, resource, [(Concept(str(n), f"Concept {n} of {version}"), []) for n in range(count)])
    return path


async def put(database: Database, path: Path, tenant: int = TENANT) -> StoredFile:
    async with database.session() as session:
        return await store_file(session, tenant, path, ConceptFile(path).resource, lambda *_: None)


async def listed(database: Database, tenant: int = TENANT) -> list[tuple[str, bool, bool]]:
    async with database.session() as session:
        return [(file.version, file.whole, file.current) for file in await list_files(session, tenant)]


def display(system: object, code: str = "3") -> str | None:
    assert isinstance(system, ConceptFile)
    found = system.find(code)
    return found.display if found else None


def test_versions_coexist_and_one_is_current(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        assert await systems.code_system(TENANT, URL) is None
        stored = await put(database, made(tmp_path, "1"))
        assert stored.chunks > 3
        assert display(await systems.code_system(TENANT, URL)) == "Concept 3 of 1"
        await put(database, made(tmp_path, "2"))
        assert display(await systems.code_system(TENANT, URL)) == "Concept 3 of 2"
        assert display(await systems.code_system(TENANT, f"{URL}|1")) == "Concept 3 of 1"
        assert await systems.code_system(TENANT, f"{URL}|3") is None
        assert list((await systems.of(TENANT)).versions(URL)) == ["2", "1"]
        assert await listed(database) == [("2", True, True), ("1", True, False)]
        found = (await systems.of(TENANT)).find("CodeSystem", f"{URL}|1")
        assert found is not None
        assert (found["version"], found["count"]) == ("1", 40)
        assert (await systems.of(TENANT)).find("ValueSet", URL) is None

    run(dsn, act)


def test_the_same_version_again_takes_its_place(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        await put(database, made(tmp_path, "1"))
        assert len(await systems.code_system(TENANT, URL) or ()) == 40
        await put(database, made(tmp_path, "1", count=50))
        assert len(await systems.code_system(TENANT, URL) or ()) == 50
        assert await listed(database) == [("1", True, True)]
        assert len(list((tmp_path / "cache").iterdir())) == 1, "what the database has no more leaves the cache"

    run(dsn, act)


def test_removing_the_current_version_brings_back_the_one_before(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        for version in "123":
            await put(database, made(tmp_path, version))
        async with database.session() as session:
            assert await remove_files(session, TENANT, URL, "3") == 1
            assert await remove_files(session, TENANT, URL, "3") == 0
        assert await listed(database) == [("2", True, True), ("1", True, False)]
        assert display(await systems.code_system(TENANT, URL)) == "Concept 3 of 2"
        async with database.session() as session:
            assert await remove_files(session, TENANT, URL, None) == 2
        assert await systems.code_system(TENANT, URL) is None

    run(dsn, act)


def test_tenants_are_apart_and_share_what_is_for_all(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        await put(database, made(tmp_path, "1"), EVERY_TENANT)
        await put(database, made(tmp_path, "2"), TENANT)
        assert display(await systems.code_system(TENANT, URL)) == "Concept 3 of 2"
        assert display(await systems.code_system(TENANT, f"{URL}|1")) == "Concept 3 of 1"
        assert display(await systems.code_system(8, URL)) == "Concept 3 of 1"
        assert await systems.code_system(8, f"{URL}|2") is None

    run(dsn, act)


def test_an_edition_without_a_date_is_its_newest(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        base = "http://snomed.info/sct"
        for version in (f"{base}/11/version/20250101", f"{base}/11/version/20240101", f"{base}/1/version/20260101"):
            await put(database, made(tmp_path, version, base))
        assert "20250101" in (display(await systems.code_system(TENANT, f"{base}|{base}/11")) or "")
        assert "20260101" in (display(await systems.code_system(TENANT, f"{base}|{base}/1")) or "")
        assert await systems.code_system(TENANT, f"{base}|{base}/2") is None

    run(dsn, act)


def test_an_interrupted_import_is_not_seen_and_goes_on(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path, "1")
    sent: list[int] = []
    real = code_system_files._put_chunk

    async def fail_at_third(session: Session, file: StoredFile, number: int, content: bytes) -> None:
        sent.append(number)
        if len(sent) == 3:
            raise Unavailable("gone")
        await real(session, file, number, content)

    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        monkeypatch.setattr(code_system_files, "_put_chunk", fail_at_third)
        with pytest.raises(Unavailable):
            await put(database, path)
        assert await listed(database) == [("1", False, False)]
        assert await systems.code_system(TENANT, URL) is None
        sent.clear()
        sent.extend([-1, -1, -1])
        stored = await put(database, path)
        assert sent[3:] == list(range(2, stored.chunks)), "the first two chunks were there"
        assert display(await systems.code_system(TENANT, URL)) == "Concept 3 of 1"

    run(dsn, act)


def test_a_damaged_chunk_is_found(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        await put(database, made(tmp_path, "1"))
        async with database.session() as session:
            await session.execute(
                "UPDATE code_system_chunk SET content = set_byte(content, 5, get_byte(content, 5) # 1) WHERE number = 1"
            )
        with pytest.raises(Unavailable, match=r"big\|1 is damaged; import it again"):
            await systems.code_system(TENANT, URL)
        assert list((tmp_path / "cache").iterdir()) == []

    run(dsn, act)


def test_the_cache_may_lose_or_damage_files(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        await put(database, made(tmp_path, "1"))
        cache = tmp_path / "cache"
        assert await CodeSystems(database, cache).code_system(TENANT, URL) is not None
        (kept,) = cache.iterdir()
        for damage in (kept.unlink, lambda: kept.write_bytes(kept.read_bytes()[:-100])):
            damage()
            assert display(await CodeSystems(database, cache).code_system(TENANT, URL)) == "Concept 3 of 1"
        left = cache / "left.part"
        left.touch()
        os.utime(left, (time.time() - 9999, time.time() - 9999))
        kept.unlink()
        assert await CodeSystems(database, cache).code_system(TENANT, URL) is not None
        assert not left.exists()

    run(dsn, act)


def test_the_engine_is_told_what_has_to_be_fetched(dsn: str, tmp_path: Path) -> None:
    async def act(database: Database) -> None:
        systems = CodeSystems(database, tmp_path / "cache")
        await put(database, made(tmp_path, "1"))
        with pytest.raises(MissingResource) as missing:
            (await systems.of(TENANT)).code_system(URL)
        assert (missing.value.resource_type, missing.value.canonical) == ("CodeSystem", URL)
        assert await systems.fetch(TENANT, URL)
        assert display((await systems.of(TENANT)).code_system(URL)) == "Concept 3 of 1"
        assert not await systems.fetch(TENANT, "http://example.org/none")

    run(dsn, act)


def test_the_database_is_asked_once_a_second(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = code_system_files.read_generations

    async def count(session: Session, tenant: int) -> object:
        asked.append(tenant)
        return await real(session, tenant)

    async def act(database: Database) -> None:
        monkeypatch.setattr(code_systems, "REFRESH_SECONDS", 1e9)
        monkeypatch.setattr(code_systems, "read_generations", count)
        systems = CodeSystems(database, tmp_path / "cache")
        await asyncio.gather(*(systems.of(TENANT) for _ in range(20)))
        assert asked == [TENANT]

    run(dsn, act)
