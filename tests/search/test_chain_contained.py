"""Chains into contained resources, https://hl7.org/fhir/R4/search.html#chaining.

"A chained condition will be evaluated inside contained resources."
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from fhir_server.auth.caller import Caller, Grant
from fhir_server.errors import Forbidden
from fhir_server.search.contained import index_contained
from fhir_server.search.execute import search
from fhir_server.search.index import index
from fhir_server.search.registry import standard
from fhir_server.store import reindex
from tests.search.noting import Noting
from tests.search.pharmacy import Pharmacy, tell
from tests.search.world import EVERYTHING, KEY

Resource = dict[str, Any]


def refers(text: str) -> dict[str, str]:
    return {"reference": text}


def patient(id_: str, family: str, **elements: Any) -> Resource:
    return {"resourceType": "Patient", "id": id_, "name": [{"family": family}], **elements}


def organization(id_: str, name: str, **elements: Any) -> Resource:
    return {"resourceType": "Organization", "id": id_, "name": name, **elements}


def observation(subject: str, *inside: Resource, **elements: Any) -> Resource:
    contained = {"contained": list(inside)} if inside else {}
    code = {"coding": [{"code": "x"}]}
    return {
        "resourceType": "Observation", **contained, "status": "final", "code": code, "subject": refers(subject), **elements
    }  # fmt: skip


async def fill(pharmacy: Pharmacy) -> None:
    """Store containers whose inner ids are the same, and what they and their contents refer to."""
    await pharmacy.put("root", organization("root", "Root"))
    await pharmacy.put("ada", patient("ada", "Outside", gender="female"))
    await pharmacy.put("real", observation("Patient/ada"))
    deep = organization("o", "Deep", partOf=refers("Organization/root"))
    inner = patient("p", "Inside", gender="male", managingOrganization=refers("#o"))
    await pharmacy.put("in", observation("#p", inner, deep, focus=[refers("Patient/ada")]))
    # Its organization is contained in another Observation, not in this one.
    elsewhere = patient("p", "Elsewhere", birthDate="1990-01-01", managingOrganization=refers("Organization/root"))
    await pharmacy.put("other", observation("#p", elsewhere, status="amended"))
    await pharmacy.put("forged", observation("Observation/in#p"))
    related = {"resourceType": "RelatedPerson", "id": "r", "patient": refers("#"), "name": [{"family": "Kin"}]}
    link = [{"other": refers("#r"), "type": "seealso"}]
    await pharmacy.put("host", patient("host", "Host", contained=[related], link=link))
    items = [{"item": refers(f"Patient/{name}")} for name in ("p", "ada")]
    await pharmacy.put("watch", {"resourceType": "List", "status": "current", "mode": "working", "entry": items})


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Observation?subject.name=inside", "in"),
        ("Observation?subject:Patient.name=inside", "in"),
        ("Observation?patient.name=inside,outside", "in real"),
        ("Observation?patient.name=elsewhere", "other"),
        ("Observation?patient.name:exact=Inside", "in"),
        ("Observation?patient.gender=male", "in"),
        ("Observation?patient.gender:not=male", "other real"),
        ("Observation?patient.birthdate=ge1990&patient.birthdate=le1990", "other"),
        ("Observation?patient.birthdate:missing=true", "in real"),
        ("Observation?patient.name=inside&status=amended", ""),
        # From what is contained to what is contained, and to what isn't.
        ("Observation?patient.organization.name=deep", "in"),
        ("Observation?patient.organization.name=root", "other"),
        ("Observation?patient.organization.partof.name=root", "in"),
        ("Observation?patient.organization.partof=Organization/root", "in"),
        # ``#`` alone is the container.
        ("Patient?link:RelatedPerson.patient.name=host", "host"),
        ("Patient?link:RelatedPerson.name=kin", "host"),
        # The id is the one that it has in its container.
        ("Observation?patient._id=p", "other in"),
        ("Observation?patient._list=watch", "real"),
        ("Patient?_has:Observation:focus:patient.name=inside", "ada"),
        ("Patient?_has:Observation:focus:patient.name=elsewhere", ""),
        # The container refers to what it contains.
        ("Observation?patient._has:Observation:patient:status=amended", "other"),
        ('Observation?_filter=patient.name eq "inside"', "in"),
        ('Observation?_filter=patient.name eq "inside" or patient.gender eq female', "in real"),
        ("Observation?_filter=not (patient.gender eq male)", "forged other real"),
        ("Observation?_filter=patient.organization.partof.name sw ro", "in"),
        ("Patient?_contained=true&_containedType=contained&organization.name=deep", "in#p"),
        ("Patient?_contained=true&_containedType=contained&organization.partof.name=root", "in#p"),
        ("RelatedPerson?_contained=true&_containedType=contained&patient.name=host", "host#r"),
        ("Observation?patient.name=inside,outside,elsewhere&_sort=_id", "in other real"),
    ],
)
def test_chains_are_evaluated_inside(dsn: str, asked: str, found: str) -> None:
    async def story(pharmacy: Pharmacy) -> list[str]:
        await fill(pharmacy)
        resource_type, _, query = asked.partition("?")
        pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&"))]
        return [address.partition("/")[2] for address in await pharmacy.find(resource_type, *pairs)]

    assert tell(dsn, story) == found.split()


def test_the_total_counts_them(dsn: str) -> None:
    async def story(pharmacy: Pharmacy) -> tuple[int | None, int]:
        await fill(pharmacy)
        page = await pharmacy.page(
            "Observation", ("patient.name", "inside,outside"), ("_total", "accurate"), ("_count", "1")
        )
        return page.total, len(page.matches)

    assert tell(dsn, story) == (2, 1)


def test_what_goes_is_not_found(dsn: str) -> None:
    async def story(pharmacy: Pharmacy) -> list[list[str]]:
        found = []
        asked = ("subject.name", "inside")
        versions: Sequence[Resource] = (
            observation("#p", patient("p", "Inside")),
            observation("#p", patient("p", "Renamed")),
            observation("#q", patient("q", "Inside")),
            observation("Patient/q"),
            observation("#p", patient("p", "Inside")),
        )
        for resource in versions:
            await pharmacy.put("x", resource)
            found.append(await pharmacy.find("Observation", asked))
        async with pharmacy.database.transaction() as session:
            await session.execute("DELETE FROM contained WHERE tenant = %s", (pharmacy.tenant,))
        return [*found, await pharmacy.find("Observation", asked)]

    there = ["Observation/x"]
    assert tell(dsn, story) == [there, [], there, [], there, []]


def test_every_step_needs_a_grant(dsn: str) -> None:
    async def story(pharmacy: Pharmacy) -> list[Any]:
        await fill(pharmacy)
        own = Grant("Observation")
        outcomes: list[Any] = []
        for criteria in ((("gender", "male"),), (("gender", "female"),), ()):
            grants = (own, Grant("Patient", criteria=criteria))
            outcomes.append(await pharmacy.find("Observation", ("patient.name", "inside,outside"), grants=grants))
        with pytest.raises(Forbidden):
            await pharmacy.find("Observation", ("patient.name", "inside"), grants=(own,))
        with pytest.raises(Forbidden):
            await pharmacy.find(
                "Observation",
                ("patient.organization.name", "deep"),
                grants=(own, Grant("Patient")),
            )
        return outcomes

    inside, outside = ["Observation/in"], ["Observation/real"]
    assert tell(dsn, story) == [inside, outside, [*inside, *outside]]


def test_tenants_are_kept_apart(dsn: str) -> None:
    async def story(pharmacy: Pharmacy) -> list[str]:
        await fill(pharmacy)
        other = Pharmacy(dsn)
        other.database = pharmacy.database
        await other.put("in", observation("#p"))
        return await other.find("Observation", ("subject.name", "inside"))

    assert tell(dsn, story) == []


def test_reindexing_finds_what_was_stored_before(dsn: str) -> None:
    async def story(pharmacy: Pharmacy) -> list[list[str]]:
        await pharmacy.put("x", observation("#p", patient("p", "Inside")))
        asked = ("subject.name", "inside")
        async with pharmacy.database.transaction() as session:
            stored = await reindex.read_after(session, pharmacy.tenant, "Observation", reindex.FIRST_KEY, 10)
            # As format 2 had it: a reference to what is contained had no token.
            await session.execute("UPDATE resource_observation SET tokens = '{}' WHERE tenant = %s", (pharmacy.tenant,))
        before = await pharmacy.find("Observation", asked)
        content = observation("#p", patient("p", "Inside"), id="x")
        async with pharmacy.database.transaction() as session:
            entries = index("Observation", content, pharmacy.tenant)
            await reindex.replace_entries(session, pharmacy.tenant, "Observation", [(stored[0], entries)])
            inner = index_contained(content, pharmacy.tenant, standard(), "")
            await reindex.replace_contained_entries(session, pharmacy.tenant, "Observation", [(stored[0], inner)])
        return [before, await pharmacy.find("Observation", asked)]

    assert tell(dsn, story) == [[], ["Observation/x"]]


def test_each_step_is_asked_for_once_more(dsn: str) -> None:
    """Resources and what is contained share the tokens of the step after, so that texts grow by step, not by doubling."""

    async def story(_: Pharmacy) -> list[tuple[int, int]]:
        counts = []
        for steps in range(1, 8):
            noting = Noting()
            name = ".".join(["partof"] * steps + ["name"])
            caller = Caller("tester", 1, EVERYTHING)
            await search(noting, caller, "Organization", [(name, "x")], cursor_key=KEY, strict=True)
            counts.append((noting.texts[0].count("FROM string_index"), noting.texts[0].count("FROM contained")))
        return counts

    assert tell(dsn, story) == [(2, steps + steps - 1) for steps in range(1, 8)]


def test_over_http(client: httpx.Client) -> None:
    family = "Innermost"
    made = client.post("/Observation", json=observation("#p", patient("p", family)))
    assert made.status_code == 201, made.text

    def found() -> list[str]:
        bundle = client.get("/Observation", params={"subject.name": family}).json()
        return [entry["resource"]["id"] for entry in bundle.get("entry", ())]

    assert found() == [made.json()["id"]]
    assert client.delete(f"/Observation/{made.json()['id']}").status_code == 204
    assert found() == []
