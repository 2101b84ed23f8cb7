"""search-type over HTTP: forms, links, paging, handling, https://hl7.org/fhir/R4/http.html#search."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, create, find, outcome_of, resource_of
from tests.server import RunningServer

SYSTEM = "http://example.org/search"


@pytest.fixture(scope="module")
def tag() -> str:
    """Marks this module's resources."""
    return str(uuid4())


def observation(tag: str, value: int, **more: object) -> Resource:
    """Return an Observation that carries the tag."""
    quantity = {"value": value, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}
    return {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"system": SYSTEM, "value": tag}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "valueQuantity": quantity,
        **more,
    }


def links(bundle: Resource) -> dict[str, str]:
    """Return the links by relation."""
    return {link["relation"]: link["url"] for link in bundle["link"]}


def test_pages_are_walked_to_the_end_while_others_write(client: httpx.Client, tag: str) -> None:
    ids = [create(client, observation(tag, n))["id"] for n in range(23)]
    for order, expected in (("", ids[::-1]), ("&_sort=value-quantity", ids), ("&_sort=-value-quantity", ids[::-1])):
        url: str | None = f"/Observation?identifier={SYSTEM}|{tag}&_count=5{order}"
        seen: list[str] = []
        sizes = []
        while url:
            bundle = resource_of(client.get(url))
            page = [e["resource"]["id"] for e in bundle["entry"]]
            seen, url = seen + page, links(bundle).get("next")
            sizes.append(len(page))
            client.put(f"/Observation/{page[0]}", json={**observation(tag, ids.index(page[0])), "id": page[0]})
        assert (seen, sizes) == (expected, [5, 5, 5, 5, 3])


def test_the_self_link_shows_what_was_used(client: httpx.Client) -> None:
    bundle = resource_of(client.get("/Patient", params={"name": "a&b=c d", "nonsense": "1", "_count": "3"}))
    assert dict(parse_qsl(urlsplit(links(bundle)["self"]).query)) == {"name": "a&b=c d", "_count": "3"}
    (told,) = [e for e in bundle["entry"] if e["search"]["mode"] == "outcome"]
    assert "nonsense" in told["resource"]["issue"][0]["diagnostics"]
    outcome_of(client.get("/Patient?nonsense=1", headers={"prefer": "handling=strict"}), 400)
    assert client.get("/Patient?nonsense=1", headers={"prefer": "handling=lenient"}).status_code == 200


def test_a_form_searches_like_a_query(client: httpx.Client, tag: str) -> None:
    create(client, observation(tag, 1))
    parameters = {"identifier": f"{SYSTEM}|{tag}", "_count": "2"}
    by_get = resource_of(client.get("/Observation", params=parameters))
    by_post = resource_of(client.post("/Observation/_search", data=parameters))
    both = resource_of(
        client.post("/Observation/_search", params={"_count": "2"}, data={"identifier": f"{SYSTEM}|{tag}"})
    )
    assert [e["fullUrl"] for e in by_get["entry"]] == [e["fullUrl"] for e in by_post["entry"]]
    assert [e["fullUrl"] for e in by_get["entry"]] == [e["fullUrl"] for e in both["entry"]]
    outcome_of(client.post("/Observation/_search", json=parameters), 415)


def test_only_the_count(client: httpx.Client, tag: str) -> None:
    value = f"{tag}-count"
    for n in range(3):
        create(client, observation(value, n))
    bundle = resource_of(client.get(f"/Observation?identifier={value}&_summary=count"))
    assert (bundle["total"], "entry" in bundle) == (3, False)
    assert resource_of(client.get(f"/Observation?identifier={value}&_total=accurate&_count=1"))["total"] == 3


def test_what_is_included_comes_along(client: httpx.Client, tag: str) -> None:
    subject = create(client, {"resourceType": "Patient"})
    stored = create(client, observation(f"{tag}-i", 1, subject={"reference": f"Patient/{subject['id']}"}))
    bundle = resource_of(client.get(f"/Observation?identifier={tag}-i&_include=Observation:subject"))
    assert [(e["search"]["mode"], e["resource"]["id"]) for e in bundle["entry"]] == [
        ("match", stored["id"]),
        ("include", subject["id"]),
    ]
    reverse = resource_of(client.get(f"/Patient?_id={subject['id']}&_revinclude=Observation:subject"))
    assert [e["resource"]["id"] for e in reverse["entry"]] == [subject["id"], stored["id"]]


def test_a_change_moves_a_resource_from_one_search_to_another(client: httpx.Client, tag: str) -> None:
    stored = create(client, observation(f"{tag}-a", 7))
    moved = {**stored, "identifier": [{"system": SYSTEM, "value": f"{tag}-b"}]}
    client.put(f"/Observation/{stored['id']}", json=moved)
    assert find(client, "Observation", identifier=f"{tag}-a") == []
    (found,) = find(client, "Observation", identifier=f"{tag}-b")
    assert (found["id"], found["meta"]["versionId"]) == (stored["id"], "2")


def ids(bundle: Resource) -> list[str]:
    """Return the ids of the matches."""
    return [e["resource"]["id"] for e in bundle.get("entry", ()) if e["search"]["mode"] == "match"]


@pytest.fixture(scope="module")
def ward(shared_server: RunningServer, tag: str) -> dict[str, str]:
    """Two patients, one with an Encounter and an Observation, all with a tag; the ids by name."""
    meta = {"meta": {"tag": [{"system": SYSTEM, "code": f"{tag}-ward"}]}}
    with shared_server.client() as client:
        ann = create(client, {"resourceType": "Patient", "active": True, "name": [{"family": "Ward"}], **meta})["id"]
        bob = create(client, {"resourceType": "Patient", "active": False, **meta})["id"]
        subject = {"subject": {"reference": f"Patient/{ann}"}}
        encounter = create(
            client, {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}, **subject, **meta}
        )["id"]
        about = {**subject, "encounter": {"reference": f"Encounter/{encounter}"}}
        stored = create(client, observation(f"{tag}-ward", 3, **about, **meta))["id"]
    return {"ann": ann, "bob": bob, "encounter": encounter, "observation": stored, "tag": f"{SYSTEM}|{tag}-ward"}


def test_the_whole_system_is_searched(client: httpx.Client, ward: dict[str, str]) -> None:
    newest_first = [ward["observation"], ward["encounter"], ward["bob"], ward["ann"]]
    seen: list[str] = []
    url: str | None = f"/?_tag={ward['tag']}&_count=3"
    while url:
        bundle = resource_of(client.get(url))
        seen, url = seen + ids(bundle), links(bundle).get("next")
    assert seen == newest_first
    some = {"_type": "Patient,Encounter", "_tag": ward["tag"], "_total": "accurate"}
    by_get, by_post = client.get("/", params=some), client.post("/_search", data=some)
    for bundle in (resource_of(by_get), resource_of(by_post)):
        assert (ids(bundle), bundle["total"]) == (newest_first[1:], 3)
        assert dict(parse_qsl(urlsplit(links(bundle)["self"]).query)) == some
    told = outcome_of(client.get("/?_type=Patient,Nothing"), 400)
    assert "Nothing" in told["issue"][0]["diagnostics"]
    outcome_of(client.get("/?gender=male", headers={"prefer": "handling=strict"}), 400)


def test_compartments_are_searched(client: httpx.Client, ward: dict[str, str]) -> None:
    base = f"/Patient/{ward['ann']}"
    bundle = resource_of(client.get(f"{base}/Observation?value-quantity=3"))
    assert ids(bundle) == [ward["observation"]]
    assert urlsplit(links(bundle)["self"]).path.endswith(f"{base}/Observation")
    assert ids(resource_of(client.get(f"{base}/Observation?value-quantity=4"))) == []
    assert ids(resource_of(client.post(f"{base}/Observation/_search", data={"value-quantity": "3"}))) == [
        ward["observation"]
    ]
    assert ids(resource_of(client.get(f"/Patient/{ward['bob']}/Observation"))) == []
    everything = resource_of(client.get(f"{base}/*?_count=2"))
    assert ids(everything) == [ward["observation"], ward["encounter"]]
    assert ids(resource_of(client.get(links(everything)["next"]))) == [ward["ann"]]
    assert ids(resource_of(client.get(f"{base}/*?_type=Encounter"))) == [ward["encounter"]]
    assert ids(resource_of(client.get(f"/Encounter/{ward['encounter']}/Observation"))) == [ward["observation"]]
    assert "Location" in outcome_of(client.get("/Location/1/Observation"), 404)["issue"][0]["diagnostics"]
    assert "Location" in outcome_of(client.get(f"{base}/Location"), 400)["issue"][0]["diagnostics"]
    outcome_of(client.get(f"{base}/Nothing"), 404)
    outcome_of(client.delete(f"{base}/Observation"), 405)


def test_links_lead_to_the_other_pages(client: httpx.Client, ward: dict[str, str]) -> None:
    first = resource_of(client.post("/Patient/_search", data={"_tag": ward["tag"], "_count": "1", "_sort": "active"}))
    assert set(links(first)) == {"self", "first", "next"}
    assert ids(first) == [ward["bob"]]
    second = resource_of(client.get(links(first)["next"]))
    assert set(links(second)) == {"self", "first", "previous"}
    assert ids(second) == [ward["ann"]]
    back = resource_of(client.get(links(second)["previous"]))
    assert set(links(back)) == {"self", "first", "next"}
    assert ids(back) == ids(first)
    assert ids(resource_of(client.get(links(back)["next"]))) == ids(second)
    assert ids(resource_of(client.get(links(second)["first"]))) == ids(first)
    assert ids(resource_of(client.get(links(second)["self"]))) == ids(second)
    assert (
        links(resource_of(client.get("/Patient?_tag=nobody")))["first"]
        == links(resource_of(client.get("/Patient?_tag=nobody")))["self"]
    )


def test_parts_of_resources(client: httpx.Client, ward: dict[str, str]) -> None:
    (match,) = resource_of(client.get(f"/Observation?_id={ward['observation']}&_elements=value"))["entry"]
    assert set(match["resource"]) == {"resourceType", "id", "meta", "status", "code", "valueQuantity"}
    assert match["resource"]["meta"]["tag"][-1]["code"] == "SUBSETTED"
    path = f"/Patient/{ward['ann']}"
    whole = client.get(path)
    for url in (path, f"{path}/_history/1"):
        part = client.get(f"{url}?_elements=active")
        assert set(resource_of(part)) == {"resourceType", "id", "meta", "active"}
        assert part.headers["etag"] == whole.headers["etag"]
        assert "name" in resource_of(client.get(f"{url}?_summary=true"))
        assert "name" not in resource_of(client.get(f"{url}?_summary=text"))
        outcome_of(client.get(f"{url}?_summary=count"), 400)
    (entry,) = resource_of(client.get(f"{path}/_history?_elements=active"))["entry"]
    assert set(entry["resource"]) == {"resourceType", "id", "meta", "active"}
    assert "SUBSETTED" not in client.get(path).text
    outcome_of(client.get("/Patient?_summary=true&_elements=name"), 400)


def test_an_estimate_of_few_is_exact(client: httpx.Client, ward: dict[str, str]) -> None:
    assert resource_of(client.get(f"/Patient?_tag={ward['tag']}&_total=estimate&_count=1"))["total"] == 2


def test_a_total_is_counted_anew_after_every_write(client: httpx.Client, tag: str) -> None:
    url = f"/Basic?identifier={tag}-total&_total=accurate&_count=1"
    basic = {"resourceType": "Basic", "code": {"text": "x"}, "identifier": [{"value": f"{tag}-total"}]}
    for number in range(4):
        for _ in range(3):
            assert resource_of(client.get(url))["total"] == number
        stored = create(client, basic)
    client.delete(f"/Basic/{stored['id']}")
    assert [resource_of(client.get(url))["total"] for _ in range(3)] == [3] * 3
