"""What the CapabilityStatement names can be read at this server; what a tenant stores itself comes first."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from conformance.decode import check
from tests.integration.answers import Resource, resource_of
from tests.server import RunningServer

EVERYTHING = "http://hl7.org/fhir/OperationDefinition/Patient-everything"


def matches(client: httpx.Client, resource_type: str, **query: str) -> list[Resource]:
    """Return the resources that a search finds on all its pages."""
    found: list[Resource] = []
    url: str | None = f"/{resource_type}"
    parameters: list[tuple[str, str]] = list(query.items())
    while url is not None:
        bundle = resource_of(client.get(url, params=parameters))
        found += [entry["resource"] for entry in bundle.get("entry", ())]
        following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
        url, parameters = (
            (None, []) if following is None else (f"/{resource_type}", parse_qsl(urlsplit(following).query))
        )
    return found


def test_every_definition_that_the_statement_names_is_found_by_its_url(client: httpx.Client) -> None:
    (rest,) = resource_of(client.get("/metadata"))["rest"]
    named = {("OperationDefinition", o["definition"]) for o in rest["operation"]}
    named |= {("SearchParameter", p["definition"]) for p in rest["searchParam"]}
    named |= {("CompartmentDefinition", url) for url in rest["compartment"]}
    for resource in rest["resource"]:
        named |= {("OperationDefinition", o["definition"]) for o in resource.get("operation", ())}
        if resource["type"] in ("Patient", "Observation", "Encounter"):
            named |= {("SearchParameter", p["definition"]) for p in resource["searchParam"]}
    assert len(named) > 80
    for resource_type, url in sorted(named):
        (found,) = matches(client, resource_type, url=url)
        check(found)
        assert found["url"] == url
        assert resource_of(client.get(f"/{resource_type}/{found['id']}")) == found


def test_a_definition_is_read_like_any_resource(client: httpx.Client) -> None:
    answer = client.get("/OperationDefinition/Patient-everything")
    assert answer.status_code == 200
    assert answer.json()["url"] == EVERYTHING
    etag = answer.headers["etag"]
    assert client.get("/OperationDefinition/Patient-everything/_history/1").json() == answer.json()
    assert client.get("/OperationDefinition/Patient-everything", headers={"if-none-match": etag}).status_code == 304
    summary = client.get("/OperationDefinition/Patient-everything", params={"_elements": "code"}).json()
    assert summary["code"] == "everything"
    assert "parameter" not in summary
    assert client.get("/OperationDefinition/nothing").status_code == 404
    assert client.get("/OperationDefinition/Patient-everything/_history/2").status_code == 404
    assert client.get("/Patient/Patient-everything").status_code == 404


@pytest.mark.parametrize(
    ("resource_type", "query", "least"),
    [
        ("OperationDefinition", {"code": "everything"}, 2),
        ("OperationDefinition", {"code": "everything", "instance": "true"}, 2),
        ("OperationDefinition", {"name:contains": "patient record"}, 1),
        ("SearchParameter", {"code": "identifier", "base": "Patient"}, 1),
        ("SearchParameter", {"_id": "Patient-name,Account-patient"}, 2),
        ("CompartmentDefinition", {"code": "Patient"}, 1),
    ],
)
def test_it_is_searched_by_what_names_it(
    client: httpx.Client, resource_type: str, query: dict[str, str], least: int
) -> None:
    assert len(matches(client, resource_type, **query)) >= least


def test_pages_follow_each_other(client: httpx.Client) -> None:
    all_ = matches(client, "SearchParameter", code="identifier", _count="1000")
    assert len(all_) > 20
    assert matches(client, "SearchParameter", code="identifier", _count="7") == all_
    counted = resource_of(client.get("/SearchParameter", params={"code": "identifier", "_summary": "count"}))
    assert counted["total"] == len(all_)
    assert "entry" not in counted
    told = resource_of(client.get("/SearchParameter", params={"code": "identifier", "_total": "accurate"}))
    assert told["total"] == len(all_)
    assert len(told["entry"]) == 20


def test_what_names_nothing_lists_only_what_is_stored(client: httpx.Client) -> None:
    assert matches(client, "OperationDefinition") == []
    assert matches(client, "OperationDefinition", status="draft") == []
    assert matches(client, "OperationDefinition", url="http://example.org/none") == []
    refused = client.get("/OperationDefinition", params={"code": "everything", "_cursor": "official-x"})
    assert refused.status_code == 400


def test_a_tenants_own_definition_comes_first(server: RunningServer) -> None:
    with server.client() as client:
        _store_its_own(client)


def _store_its_own(client: httpx.Client) -> None:
    own = resource_of(client.get("/OperationDefinition/Encounter-everything"))
    own["title"] = "Ours"
    assert client.put("/OperationDefinition/Encounter-everything", json=own).status_code == 201
    assert client.get("/OperationDefinition/Encounter-everything").json()["title"] == "Ours"
    (found,) = matches(client, "OperationDefinition", url=own["url"])
    assert found["title"] == "Ours"
    assert client.delete("/OperationDefinition/Encounter-everything").status_code in (200, 204)
    assert client.get("/OperationDefinition/Encounter-everything").status_code == 410
