"""Searching inside containers, https://hl7.org/fhir/R4/search.html#contained, on what the server itself has written."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import httpx
import msgspec
import psycopg
import pytest

from fhir_server.auth.caller import Caller, Grant
from fhir_server.errors import Forbidden
from fhir_server.interactions.prepare import prepare_write
from fhir_server.search.contained import index_contained
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.execute import Compartment, search
from fhir_server.search.index import index
from fhir_server.search.registry import standard
from fhir_server.store import reindex
from fhir_server.store.database import Session
from fhir_server.store.expunge import expunge_resources
from fhir_server.store.write import write
from tests.search.pharmacy import Pharmacy, tell
from tests.search.world import EVERYTHING, KEY

T = TypeVar("T")
CODES = ["aspirin", "insulin", "heparin"]


def pill(id_: str, code: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Medication", "id": id_, "code": {"coding": [{"code": code}], "text": code}, **elements}


def request(*inside: dict[str, Any], **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        **({"contained": list(inside)} if inside else {}),
        "status": "active",
        "intent": "order",
        "medicationReference": {"reference": f"#{inside[0]['id']}" if inside else "Medication/x"},
        "subject": {"reference": "Patient/p"},
        **elements,
    }


@pytest.fixture
def run(dsn: str) -> Callable[[Callable[[Pharmacy], Awaitable[T]]], T]:
    """Run a story on a pharmacy of its own."""
    return partial(tell, dsn)


INSIDE, CONTAINED = ("_contained", "true"), ("_containedType", "contained")


def test_what_is_found_and_how_it_is_shown(run: Any) -> None:
    async def story(pharmacy: Pharmacy) -> list[list[str]]:
        await pharmacy.put("m", pill("m", "aspirin"))
        await pharmacy.put("r", request(pill("a", "aspirin"), pill("b", "aspirin"), pill("c", "insulin")))
        aspirin = ("code", "aspirin")
        return [
            await pharmacy.find("Medication", aspirin),
            await pharmacy.find("Medication", aspirin, ("_contained", "false")),
            await pharmacy.find("Medication", aspirin, INSIDE),
            await pharmacy.find("Medication", aspirin, INSIDE, ("_containedType", "container")),
            await pharmacy.find("Medication", aspirin, INSIDE, CONTAINED),
            await pharmacy.find("Medication", aspirin, ("_contained", "both"), CONTAINED),
            await pharmacy.find("Medication", aspirin, ("_contained", "both")),
            await pharmacy.find("Medication", ("code:text", "ins"), INSIDE, CONTAINED),
            await pharmacy.find("Medication", ("code:not", "aspirin"), INSIDE, CONTAINED),
            await pharmacy.find("Medication", ("_content", "Insulin"), INSIDE, CONTAINED),
            await pharmacy.find("Medication", ("_id", "b"), INSIDE, CONTAINED),
        ]

    request_, b, a, c = (f"MedicationRequest/r{inner}" for inner in ("", "#b", "#a", "#c"))
    both = ["Medication/m"]
    assert run(story) == [
        both,
        both,
        [request_],
        [request_],
        [b, a],
        [b, a, *both],
        [request_, *both],
        [c],
        [c],
        [c],
        [b],
    ]


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_a_plain_reading_whatever_was_written(run: Any, seed: int) -> None:
    chosen = random.Random(seed)

    def inside() -> list[dict[str, Any]]:
        return [
            pill(
                f"c{n}",
                chosen.choice(CODES),
                ingredient=[{"itemReference": {"reference": f"Substance/{chosen.choice('xy')}"}}],
            )
            for n in range(chosen.randint(0, 3))
        ]

    async def story(pharmacy: Pharmacy) -> int:
        stored: dict[str, dict[str, Any]] = {}
        seen = 0
        for _ in range(40):
            id_ = f"r{chosen.randrange(8)}"
            if id_ in stored and chosen.random() < 0.25:
                await pharmacy.put(id_, None)
                del stored[id_]
            else:
                stored[id_] = request(*inside())
                await pharmacy.put(id_, stored[id_])
            code, substance = chosen.choice(CODES), chosen.choice("xy")
            expected = {
                f"MedicationRequest/{name}#{inner['id']}"
                for name, resource in stored.items()
                for inner in resource.get("contained", ())
                if inner["code"]["text"] == code
                and inner["ingredient"][0]["itemReference"]["reference"][-1] == substance
            }
            asked = [("code", code), ("ingredient", f"Substance/{substance}"), INSIDE, ("_count", "2")]
            found = await pharmacy.find("Medication", *asked, CONTAINED)
            assert sorted(found) == sorted(expected)
            containers = await pharmacy.find("Medication", *asked)
            assert sorted(containers) == sorted({address.partition("#")[0] for address in expected})
            total = await pharmacy.page("Medication", *asked, ("_total", "accurate"))
            assert total.total == len(containers)
            seen += len(found)
        return seen

    assert run(story) > 0


def test_ranges_and_order(run: Any) -> None:
    async def story(pharmacy: Pharmacy) -> list[list[str]]:
        for number, day in enumerate(["2020-01-01", "2022-01-01", "2021-01-01"]):
            batch = {"expirationDate": day, "lotNumber": f"lot{number}"}
            await pharmacy.put(f"r{number}", request(pill("a", "aspirin", batch=batch)))
        found = [
            await pharmacy.find("Medication", INSIDE, ("_sort", sort), ("_count", count))
            for sort in ("expiration-date", "-expiration-date", "_id", "_lastUpdated")
            for count in ("2", "50")
        ]
        return [*found, await pharmacy.find("Medication", INSIDE, ("expiration-date", "gt2020-06"), CONTAINED)]

    run_ = run(story)
    up, down = [[f"MedicationRequest/r{n}" for n in order] for order in ((0, 2, 1), (1, 2, 0))]
    ascending = [f"MedicationRequest/r{n}" for n in range(3)]
    assert run_[:4] == [up, up, down, down]
    assert run_[4:8] == [ascending] * 4
    assert run_[8] == ["MedicationRequest/r2#a", "MedicationRequest/r1#a"]


def test_containers_must_be_readable(run: Any) -> None:
    async def story(pharmacy: Pharmacy) -> list[list[str]]:
        await pharmacy.put("mine", request(pill("a", "aspirin")))
        await pharmacy.put("other", request(pill("a", "aspirin"), subject={"reference": "Patient/q"}))
        all_pills, all_requests = Grant("Medication"), Grant("MedicationRequest")
        own = Grant("MedicationRequest", criteria=(("patient", "Patient/p"),))
        only_search = Grant("MedicationRequest", frozenset(("search",)))
        insulin = Grant("Medication", criteria=(("code", "insulin"),))
        granted = (
            (all_pills, all_requests),
            (all_pills, own),
            (all_pills, only_search),
            (all_pills,),
            (insulin, all_requests),
        )
        found = [
            sorted(await pharmacy.find("Medication", INSIDE, mode, grants=grants))
            for grants in granted
            for mode in (CONTAINED, ("_containedType", "container"))
        ]
        with pytest.raises(Forbidden):
            await pharmacy.find("Medication", INSIDE, grants=(all_requests,))
        return found

    mine, other = "MedicationRequest/mine", "MedicationRequest/other"
    assert run(story) == [
        [f"{mine}#a", f"{other}#a"], [mine, other], [f"{mine}#a"], [mine], [], [], [], [], [], [],
    ]  # fmt: skip


def test_what_others_change_meanwhile_is_left_out(run: Any) -> None:
    """The containers are read by a statement of their own, later."""

    async def story(pharmacy: Pharmacy) -> list[str]:
        await pharmacy.put("kept", request(pill("a", "aspirin")))
        await pharmacy.put("changed", request(pill("a", "aspirin")))

        class Slow:
            in_transaction = False

            def __init__(self, session: Any) -> None:
                self.session, self.statements = session, 0

            async def fetch(self, sql: str, parameters: Any, *, steady: bool = False) -> Any:
                self.statements += 1
                if self.statements == 2:
                    await pharmacy.put("changed", request(pill("a", "insulin")))
                return await self.session.fetch(sql, parameters, steady=steady)

        async with pharmacy.database.searching() as session:
            caller = Caller("tester", pharmacy.tenant, EVERYTHING)
            page = await search(Slow(session), caller, "Medication", [("code", "aspirin"), INSIDE], cursor_key=KEY)
            return [match.id for match in page.matches]

    assert run(story) == ["kept"]


def test_nothing_stays_behind(run: Any, dsn: str) -> None:
    tables = ("contained", "string_index", "date_index", "number_index")

    def count(tenant: int) -> list[int]:
        with psycopg.connect(dsn) as connection:
            rows = [
                connection.execute(f"SELECT count(*) FROM {t} WHERE tenant = %s", (tenant,)).fetchone() for t in tables
            ]
        return [row[0] for row in rows if row is not None]

    async def story(pharmacy: Pharmacy) -> list[list[int]]:
        batch = {"expirationDate": "2020-01-01"}
        counts = []
        await pharmacy.put("r", request(pill("a", "aspirin", batch=batch)))
        counts.append(count(pharmacy.tenant))
        await pharmacy.put("r", request())
        counts.append(count(pharmacy.tenant))
        await pharmacy.put("r", request(pill("a", "aspirin", batch=batch)))
        await pharmacy.put("r", None)
        counts.append(count(pharmacy.tenant))
        await pharmacy.put("r", request(pill("a", "aspirin", batch=batch)))
        counts.append(count(pharmacy.tenant))
        async with pharmacy.database.transaction() as session:
            await expunge_resources(session, pharmacy.tenant, None, None, deleted=False, limit=None)
        return [*counts, count(pharmacy.tenant)]

    stored, without, deleted, again, expunged = run(story)
    assert stored[0] == again[0] == 1
    assert stored[2] == without[2] + 1
    assert without[0] == 0
    assert deleted == expunged == [0, 0, 0, 0]


def test_reindexing_finds_what_was_stored_before(run: Any) -> None:
    async def story(pharmacy: Pharmacy) -> list[list[str]]:
        for name in ("kept", "changed"):
            await pharmacy.put(name, request(pill("a", "aspirin")))
        async with pharmacy.database.session() as session:
            await session.execute("DELETE FROM contained WHERE tenant = %s", (pharmacy.tenant,))
            stored = await reindex.read_after(session, pharmacy.tenant, "MedicationRequest", reindex.FIRST_KEY, 10)
        found = [await pharmacy.find("Medication", ("code", "aspirin"), INSIDE)]
        await pharmacy.put("changed", request(pill("a", "insulin")))
        decoded = [(s, msgspec.json.decode(s.content)) for s in stored]
        read_, within = [], []
        for s, resource in decoded:
            read_.append((s, index("MedicationRequest", resource, pharmacy.tenant)))
            within.append((s, index_contained(resource, pharmacy.tenant, standard(), "")))
        for _ in range(2):
            async with pharmacy.database.transaction() as session:
                await reindex.replace_entries(session, pharmacy.tenant, "MedicationRequest", read_)
                await reindex.replace_contained_entries(session, pharmacy.tenant, "MedicationRequest", within)
            found.append(await pharmacy.find("Medication", ("code", "aspirin"), INSIDE, CONTAINED))
            found.append(await pharmacy.find("Medication", ("code", "insulin"), INSIDE, CONTAINED))
        return found

    once = [["MedicationRequest/kept#a"], ["MedicationRequest/changed#a"]]
    assert run(story) == [[], *once, *once]


@pytest.mark.parametrize(
    "asked",
    [
        [("_contained", "maybe")],
        [("_containedType", "x")],
        [INSIDE, ("_include", "Medication:manufacturer")],
        [INSIDE, ("_revinclude", "MedicationRequest:medication")],
    ],
)
def test_what_is_refused(run: Any, asked: list[tuple[str, str]]) -> None:
    async def story(pharmacy: Pharmacy) -> None:
        with pytest.raises(InvalidSearch):
            await pharmacy.page("Medication", *asked)

    run(story)


def test_compartments_do_not_mix(run: Any) -> None:
    async def story(pharmacy: Pharmacy) -> None:
        with pytest.raises(InvalidSearch, match="compartment"):
            await pharmacy.page("Observation", INSIDE, compartment=Compartment("Patient", "p"))

    run(story)


def test_over_http(client: httpx.Client) -> None:
    code = f"c{random.randrange(2**40)}"
    made = client.post("/MedicationRequest", json=request(pill("a", code)))
    assert made.status_code == 201
    address = f"MedicationRequest/{made.json()['id']}"
    bundle = client.get(
        "/Medication", params={"code": code, "_contained": "true", "_containedType": "contained"}
    ).json()
    entry = bundle["entry"][0]
    assert entry["fullUrl"].endswith(f"/{address}#a")
    assert entry["resource"]["resourceType"] == "Medication"
    assert "_contained=true" in bundle["link"][0]["url"]
    bundle = client.get("/Medication", params={"code": code, "_contained": "both", "_summary": "true"}).json()
    assert [e["fullUrl"].rpartition("/fhir/")[2] for e in bundle["entry"]] == [address]
    refused = client.post(
        "/Medication", json=pill("x", code), headers={"If-None-Exist": f"code={code}&_contained=true"}
    )
    assert refused.status_code == 400
    assert client.delete(f"/{address}").status_code == 204
    assert "entry" not in client.get("/Medication", params={"code": code, "_contained": "both"}).json()


@pytest.mark.parametrize(("inside", "statements"), [([], 1), ([pill("a", "never seen")], 3)])
def test_only_containers_cost_more_statements(
    run: Any, monkeypatch: pytest.MonkeyPatch, inside: list[dict[str, Any]], statements: int
) -> None:
    async def story(pharmacy: Pharmacy) -> int:
        resource = request(*inside, identifier=[{"system": "urn:x", "value": "1"}])
        await pharmacy.put("first", resource)  # the dictionaries know its texts from now on
        ran: list[str] = []
        original = Session._run

        async def counted(session: Session, sql: str, parameters: Any) -> Any:
            ran.append(sql)
            return await original(session, sql, parameters)

        monkeypatch.setattr(Session, "_run", counted)
        context = pharmacy.context()
        change = prepare_write(context, resource, "second", context.now, replaces=None, method="C")
        async with pharmacy.database.session() as session:
            session.known.add([(pharmacy.tenant, text) for i in change.contained for text in i.entries.texts])
            await write(session, pharmacy.tenant, [change])
        return len(ran)

    assert run(story) == statements
