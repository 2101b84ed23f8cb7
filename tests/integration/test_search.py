"""search-type over HTTP: forms, links, paging, handling, https://hl7.org/fhir/R4/http.html#search."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, create, find, outcome_of, resource_of

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
