"""``_text`` and ``_content`` against a plain reading of the resources, before, while and after they are indexed."""

from __future__ import annotations

import asyncio
import html
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from fhir_server.auth.caller import Caller, Grant
from fhir_server.jobs.full_text import FullTextIndexing
from fhir_server.search.execute import search
from fhir_server.search.full_text import words_of
from fhir_server.search.index import index
from fhir_server.store.amend import amend
from fhir_server.store.database import Database, Session
from fhir_server.store.full_text import index_next, read_horizon
from fhir_server.store.keys import next_key
from fhir_server.store.write import Change, write
from tests.search.world import KEY, World

T = TypeVar("T")
VOCABULARY = [
    "Knochen",
    "Ärzte",
    "follow-up",
    "liver",
    "METASTASES",
    "Straße",
    "5.4mg",
    "naïve",
    "σίσυφος",
    "bone",
    "x",
]
WORDLESS = frozenset(("resourceType", "id", "reference", "data", "versionId", "lastUpdated"))


def plain(div: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<!--.*?-->", " ", div, flags=re.DOTALL)))


def strings(value: Any, name: str = "") -> Iterator[str]:
    """Yield what is to be found in a resource, element by element."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, name)
    elif isinstance(value, str) and name not in WORDLESS and not re.fullmatch(r"(https?|urn):\S*", value):
        yield plain(value) if name == "div" else value


def texts(resource: dict[str, Any], code: str) -> list[str]:
    if code == "_content":
        return list(strings(resource))
    return [plain(resource["text"]["div"])] if "text" in resource else []


def holds(resource: dict[str, Any], code: str, *, every: list[str], none: list[str]) -> bool:
    """Tell whether each phrase of ``every`` and none of ``none`` is in the resource; a star stands for any ending."""

    def found(phrase: str) -> bool:
        wanted, begins = words_of(phrase), phrase.endswith("*")
        for text in texts(resource, code):
            words = words_of(text)
            for start in range(len(words) - len(wanted) + 1):
                *first, last = words[start : start + len(wanted)]
                if first == wanted[:-1] and (last.startswith(wanted[-1]) if begins else last == wanted[-1]):
                    return True
        return False

    return all(map(found, every)) and not any(map(found, none))


class Library:
    """Resources of one tenant, written as the server writes them."""

    def __init__(self, dsn: str, tenant: int) -> None:
        self.tenant = tenant
        self.database = Database(dsn, max_connections=8)
        self.versions: dict[str, tuple[int, int, bool]] = {}

    async def put(self, id_: str, resource: dict[str, Any] | None, *, type_: str = "Patient") -> None:
        """Store a version, or delete the resource when there is none to store."""
        key, version, alive = self.versions.get(id_, (next_key(), 0, False))
        if resource is None and not alive:
            return
        now = datetime.now(UTC)
        stamped = None if resource is None else {"resourceType": type_, "id": id_, **resource}
        change = Change(
            type_,
            id_,
            key,
            version + 1,
            now,
            "D" if stamped is None else "U" if version else "C",
            None if stamped is None else json.dumps(stamped, ensure_ascii=False).encode(),
            index(type_, stamped or {}, self.tenant),
            version or None,
        )
        async with self.database.transaction() as session:
            await write(session, self.tenant, [change])
        self.versions[id_] = key, version + 1, stamped is not None

    async def find(self, session: Session, *parameters: tuple[str, str], type_: str = "Patient") -> set[str]:
        """Return the ids of what a search finds."""
        caller = Caller("tester", self.tenant, (Grant(),))
        page = await search(session, caller, type_, [*parameters, ("_count", "1000")], cursor_key=KEY, strict=True)
        return {match.id for match in page.matches}

    async def check(self, chosen: random.Random) -> int:
        """Compare some searches with a plain reading, both of one state of the database; return the matches seen."""
        seen = 0
        async with self.database.searching() as session, session.transaction():
            await session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for _ in range(6):
                code = chosen.choice(["_text", "_content"])
                every = [_phrase(chosen) for _ in range(chosen.randint(1, 2))]
                none = [_phrase(chosen) for _ in range(chosen.randint(0, 1))]
                value = " ".join([*map(_quoted, every), *("-" + _quoted(phrase) for phrase in none)])
                found = await self.find(session, (code, value.replace(",", "\\,")))
                rows = await session.fetch(
                    "SELECT content FROM resource_patient WHERE tenant = %s AND content IS NOT NULL", (self.tenant,)
                )
                stored = [json.loads(bytes(row[0])) for row in rows]
                expected = {r["id"] for r in stored if holds(r, code, every=every, none=none)}
                assert found == expected, value
                seen += len(found)
        return seen


def _phrase(chosen: random.Random) -> str:
    word = chosen.choice(VOCABULARY)
    match chosen.randint(0, 4):
        case 0:
            return f"{word} {chosen.choice(VOCABULARY)}"
        case 1:
            return words_of(word)[0][:2] + "*"
        case _:
            return word.upper() if chosen.random() < 0.3 else word


def _quoted(phrase: str) -> str:
    return f'"{phrase}"' if " " in phrase else phrase


def _resource(chosen: random.Random) -> dict[str, Any]:
    def some(most: int) -> str:
        return " ".join(chosen.choice(VOCABULARY) for _ in range(chosen.randint(1, most)))

    resource: dict[str, Any] = {"name": [{"family": some(1), "given": [some(2), some(1)]}], "gender": "female"}
    if chosen.random() < 0.7:
        resource["text"] = {
            "status": "generated",
            "div": f"<div xmlns='http://www.w3.org/1999/xhtml'><b title='bone'>{some(3)}</b>&amp;{some(2)}<br/>x&eacute;</div>",
        }
    return resource


@pytest.fixture
def run(dsn: str) -> Callable[[Callable[[Library], Awaitable[T]]], T]:
    """Run a story on a library of its own."""
    tenant = next(World._tenants) + 50_000

    def act(story: Callable[[Library], Awaitable[T]]) -> T:
        async def go() -> T:
            library = Library(dsn, tenant)
            await library.database.open()
            try:
                return await story(library)
            finally:
                await library.database.close()

        return asyncio.run(go())

    return act


@pytest.mark.parametrize("seed", range(6))
def test_a_search_equals_a_plain_reading_whatever_is_indexed(run: Any, seed: int) -> None:
    chosen = random.Random(seed)

    async def story(library: Library) -> int:
        indexing, seen = (
            FullTextIndexing(library.database, batch=chosen.choice([1, 3, 50]), margin=chosen.choice([0.0, 60.0])),
            0,
        )
        for _ in range(60):
            id_ = f"p{chosen.randrange(25)}"
            await library.put(id_, None if chosen.random() < 0.2 else _resource(chosen))
            if chosen.random() < 0.15:
                await indexing.run_once()
            if chosen.random() < 0.3:
                seen += await library.check(chosen)
        return seen

    assert run(story) > 0


def test_a_search_equals_a_plain_reading_while_others_write_and_index(run: Any) -> None:
    async def story(library: Library) -> tuple[int, int]:
        done = asyncio.Event()

        async def writing(number: int) -> None:
            chosen = random.Random(number)
            while not done.is_set():
                id_ = f"w{number}-{chosen.randrange(15)}"
                await library.put(id_, None if chosen.random() < 0.2 else _resource(chosen))

        async def indexing() -> None:
            while not done.is_set():
                await FullTextIndexing(library.database, batch=7, margin=1.0).run_once()

        others = [asyncio.ensure_future(act) for act in (writing(1), writing(2), indexing(), indexing())]
        chosen = random.Random(99)
        try:
            seen = sum([await library.check(chosen) for _ in range(25)])
        finally:
            done.set()
            await asyncio.gather(*others)
        await FullTextIndexing(library.database, margin=0.0).run_once()
        async with library.database.session() as session:
            stale = await session.fetch(
                "SELECT count(*) FROM resource_patient AS r FULL JOIN full_text AS f"
                " ON f.tenant = r.tenant AND f.key = r.key AND f.version = r.version"
                " WHERE COALESCE(r.tenant, f.tenant) = %s AND (r.content IS NULL) <> (f.key IS NULL)",
                (library.tenant,),
            )
        await library.check(random.Random(1))
        return seen, stale[0][0]

    seen, stale = run(story)
    assert seen > 0
    assert stale == 0, "all are indexed at their version, and nothing is left of deleted ones"


def test_what_was_committed_late_is_found(run: Any) -> None:
    """A transaction that began before others were indexed, and comes with an older instant than theirs."""

    async def story(library: Library) -> set[str]:
        indexing = FullTextIndexing(library.database, margin=5.0)
        early = {"resourceType": "Patient", "id": "late", "name": [{"family": "latecomer"}]}
        change = Change(
            "Patient",
            "late",
            next_key(),
            1,
            datetime.now(UTC),
            "C",
            json.dumps(early).encode(),
            index("Patient", early, library.tenant),
        )
        async with library.database.transaction() as session:
            await write(session, library.tenant, [change])
            await library.put("next", {"name": [{"family": "other"}]})
            await indexing.run_once()
        async with library.database.searching() as session:
            found = await library.find(session, ("_content", "latecomer"))
            await indexing.run_once()
            return found & await library.find(session, ("_content", "latecomer"))

    assert run(story) == {"late"}


def test_what_is_committed_during_a_pass_is_found(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies before the place that the pass has reached."""

    async def story(library: Library) -> set[str]:
        early = {"resourceType": "Patient", "id": "late", "name": [{"family": "latecomer"}]}
        entries = index("Patient", early, library.tenant)
        for number in range(2):
            await library.put(f"p{number}", {"name": [{"family": "other"}]})
        steps, instant = 0, datetime.now(UTC)

        async def step(session: Session, tenant: int, *rest: Any) -> Any:
            nonlocal steps, instant
            reached = await index_next(session, tenant, *rest)
            steps += tenant == library.tenant
            if tenant == library.tenant and steps == 1:
                instant = datetime.now(UTC)
                for number in range(2, 5):
                    await library.put(f"p{number}", {"name": [{"family": "other"}]})
            if tenant == library.tenant and steps == 4:
                content = json.dumps(early).encode()
                change = Change("Patient", "late", next_key(), 1, instant, "C", content, entries)
                async with library.database.transaction() as other:
                    await write(other, library.tenant, [change])
            return reached

        monkeypatch.setattr("fhir_server.jobs.full_text.index_next", step)
        await FullTextIndexing(library.database, batch=1, margin=0.0).run_once()
        assert steps == 6
        async with library.database.searching() as session:
            return await library.find(session, ("_content", "latecomer"))

    assert run(story) == {"late"}


def test_it_runs_until_it_is_told_to_stop(run: Any) -> None:
    async def story(library: Library) -> None:
        await library.put("one", {"name": [{"family": "bone"}]})
        stop = asyncio.Event()
        running = asyncio.ensure_future(FullTextIndexing(library.database, idle=0.05).run(stop))
        async with library.database.session() as session:
            while not await session.fetch("SELECT FROM full_text WHERE tenant = %s", (library.tenant,)):  # noqa: ASYNC110 - rows
                await asyncio.sleep(0.01)
        stop.set()
        await running

    run(story)


def test_a_batch_that_fails_leaves_nothing_behind(run: Any) -> None:
    async def story(library: Library) -> tuple[set[str], int]:
        await library.put("one", {"name": [{"family": "bone"}]})
        async with library.database.session() as session:
            horizon = await read_horizon(session, 0) + timedelta(seconds=1)

            async def fail() -> None:
                async with session.transaction():
                    await index_next(session, library.tenant, "Patient", None, horizon, 10)
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await fail()
            rows = await session.fetch("SELECT count(*) FROM full_text WHERE tenant = %s", (library.tenant,))
            return await library.find(session, ("_content", "bone")), rows[0][0]

    assert run(story) == ({"one"}, 0)


def test_one_process_at_a_time_indexes_a_type(run: Any) -> None:
    async def story(library: Library) -> tuple[Any, Any]:
        for number in range(3):
            await library.put(f"p{number}", {"name": [{"family": "bone"}]})
        horizon = datetime.now(UTC) - timedelta(minutes=1)

        async def step(session: Session) -> Any:
            return await index_next(session, library.tenant, "Patient", None, horizon, 2)

        async with library.database.session() as session, session.transaction():
            await step(session)
        async with library.database.transaction() as first, library.database.transaction() as second:
            return await step(first), await step(second)

    first, second = run(story)
    assert first is not None
    assert second is None


def test_labels_that_change_in_place_are_found(run: Any) -> None:
    async def story(library: Library) -> list[set[str]]:
        await library.put("one", {"meta": {"tag": [{"display": "urgent"}]}})
        await FullTextIndexing(library.database, margin=0.0).run_once()
        key, version, _ = library.versions["one"]
        changed = {"resourceType": "Patient", "id": "one", "meta": {"tag": [{"display": "settled"}]}}
        change = Change(
            "Patient",
            "one",
            key,
            version,
            datetime.now(UTC),
            "U",
            json.dumps(changed).encode(),
            index("Patient", changed, library.tenant),
        )
        async with library.database.transaction() as session:
            await amend(session, library.tenant, change)
        async with library.database.searching() as session:
            return [await library.find(session, ("_content", word)) for word in ("urgent", "settled")]

    assert run(story) == [set(), {"one"}]


def test_chains_lead_to_words_and_tenants_are_apart(run: Any) -> None:
    async def story(library: Library) -> list[set[str]]:
        found = []
        for indexed in (False, True):
            await library.put("p", {"name": [{"family": "bone"}]})
            await library.put(
                "o", {"subject": {"reference": "Patient/p"}, "code": {"text": "liver"}}, type_="Observation"
            )
            if indexed:
                await FullTextIndexing(library.database, margin=0.0).run_once()
            async with library.database.searching() as session:
                found.append(await library.find(session, ("subject:Patient._content", "bone"), type_="Observation"))
                found.append(await library.find(session, ("_has:Observation:patient:_content", "LIVER")))
                found.append(await library.find(session, ("_content", "liver")))
                found.append(await library.find(session, ("_content", "-liver,nothing")))
        other = Library("", library.tenant + 100_000)
        async with library.database.searching() as session:
            found.append(await other.find(session, ("_content", "bone")))
        return found

    once = [{"o"}, {"p"}, set(), {"p"}]
    assert run(story) == [*once, *once, set()]
