"""history of a type and of the server, and the windows and pages of every history, https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import Resource, bundle_of, create, entry, outcome_of, resource_of
from tests.server import RunningServer


@pytest.fixture(scope="module")
def http(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of a server whose database holds what this module wrote and nothing else."""
    with server.client() as client:
        yield client


def walk(client: httpx.Client, url: str) -> list[Resource]:
    """Return the entries of all pages."""
    entries: list[Resource] = []
    while url:
        page = resource_of(client.get(url))
        assert page["type"] == "history"
        entries += page.get("entry", [])
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return entries


def told(entries: list[Resource]) -> list[tuple[str, str, str]]:
    """Return method, address and version of each entry."""
    return [
        (e["request"]["method"], "/".join(e["fullUrl"].split("/")[-2:]), e["response"]["etag"].strip('W/"'))
        for e in entries
    ]


def write_some(client: httpx.Client) -> tuple[list[tuple[str, str, str]], list[Resource]]:
    """Create, update, delete and revive; return what a history must tell, newest first, and its entries' resources."""
    marker = str(uuid4())
    one = create(client, {"resourceType": "Patient", "language": "en"})
    p = f"Patient/{one['id']}"
    client.put(f"/{p}", json={**one, "active": True}).raise_for_status()
    two = create(client, {"resourceType": "Organization", "name": marker})
    o = f"Organization/{two['id']}"
    client.delete(f"/{p}").raise_for_status()
    client.put(f"/{p}", json=one).raise_for_status()
    client.put(
        f"/Basic/{marker}", json={"resourceType": "Basic", "id": marker, "code": {"text": "x"}}
    ).raise_for_status()
    client.delete(f"/{o}").raise_for_status()
    expected = [
        ("DELETE", o, "2"),
        ("PUT", f"Basic/{marker}", "1"),
        ("PUT", p, "4"),
        ("DELETE", p, "3"),
        ("POST", o, "1"),
        ("PUT", p, "2"),
        ("POST", p, "1"),
    ]
    return expected, [one, two]


def test_the_whole_server_and_one_type(http: httpx.Client) -> None:
    expected, _ = write_some(http)
    for page in ("", "?_count=1", "?_count=2", "?_count=1000"):
        assert told(walk(http, f"/_history{page}"))[: len(expected)] == expected
    patients = [t for t in expected if t[1].startswith("Patient/")]
    for page in ("", "?_count=1", "?_count=3"):
        assert told(walk(http, f"/Patient/_history{page}"))[: len(patients)] == patients
    entries = walk(http, "/_history")[: len(expected)]
    assert [e["response"]["status"] for e in entries] == ["204", "201", "201", "204", "201", "200", "201"]
    assert ["resource" in e for e in entries] == [e["request"]["method"] != "DELETE" for e in entries]
    stamps = [e["response"]["lastModified"] for e in entries]
    assert stamps == sorted(stamps, reverse=True)
    assert resource_of(http.get("/Slot/_history"))["total"] == 0
    first = resource_of(http.get("/_history?_count=1"))
    assert "total" not in first


def test_since(http: httpx.Client) -> None:
    expected, _ = write_some(http)
    entries = walk(http, "/_history")
    since = entries[2]["response"]["lastModified"]
    for url in ("/_history", "/Patient/_history"):
        shown = told(walk(http, f"{url}?_since={since}&_count=2"))
        newer = [e for e in entries if e["response"]["lastModified"] >= since]
        assert shown == [t for t in told(newer) if url == "/_history" or t[1].startswith("Patient/")]
    instance = f"/{expected[2][1]}/_history"
    assert told(walk(http, f"{instance}?_since={since}&_count=1")) == [expected[2]]
    later = (datetime.fromisoformat(entries[0]["response"]["lastModified"]) + timedelta(days=2)).date().isoformat()
    assert walk(http, f"/_history?_since={later}") == []
    assert resource_of(http.get(f"{instance}?_since={later}"))["total"] == 0
    outcome_of(http.get(f"/Patient/nobody/_history?_since={later}"), 404)
    assert len(walk(http, "/_history?_since=2000")) == len(entries)


def test_at_an_instant_one_version_of_each_was_current(http: httpx.Client) -> None:
    expected, _ = write_some(http)
    entries = walk(http, "/_history")
    for number in range(len(expected)):
        moment = entries[number]["response"]["lastModified"]
        shown = told(walk(http, f"/_history?_at={moment}&_count=3"))
        # Newest first, so the first version of an address that is not newer than the moment was current then.
        known: dict[str, tuple[str, str, str]] = {}
        for version, source in zip(told(entries), entries, strict=True):
            if source["response"]["lastModified"] <= moment:
                known.setdefault(version[1], version)
        during = [v for v, e in zip(told(entries), entries, strict=True) if e["response"]["lastModified"] == moment]
        assert set(shown) == set(known.values()) | set(during)
    patient = expected[2][1]
    year = entries[0]["response"]["lastModified"][:4]
    assert [v for _, _, v in told(walk(http, f"/{patient}/_history?_at={year}"))] == ["4", "3", "2", "1"]
    assert walk(http, f"/_history?_at={int(year) - 1}") == []
    assert [v for _, _, v in told(walk(http, f"/{patient}/_history?_at={int(year) + 1}"))] == ["4"]


def test_versions_of_one_transaction_share_an_instant_and_are_paged_all_the_same(http: httpx.Client) -> None:
    entries = [
        entry("POST", t, {"resourceType": t}) for t in ("Patient", "Person", "Group", "Patient") for _ in range(5)
    ]
    for e in entries:
        if e["resource"]["resourceType"] == "Group":
            e["resource"] |= {"type": "person", "actual": True}
    answer = resource_of(http.post("/", json=bundle_of("transaction", *entries)))
    written = {e["response"]["location"].partition("/_history")[0] for e in answer["entry"]}
    for size in (1, 3, 7):
        newest = [address for _, address, _ in told(walk(http, f"/_history?_count={size}"))[: len(written)]]
        assert set(newest) == written


@pytest.mark.parametrize(
    "query",
    [
        "_count=many", "_count=-1", "_since=soon", "_at=soon", "_at=2020-13", "_cursor=x", "_cursor=%ff", "_sort=_id",
        "_at=2020&_at=2021", "nonsense=1", "_since=2020-01-01T00:00", "_since=",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/_history", "/Patient/_history", "/Patient/{}/_history"])
def test_bad_parameters(http: httpx.Client, path: str, query: str) -> None:
    id_ = create(http, {"resourceType": "Patient"})["id"]
    if query == "_since=2020-01-01T00:00":
        assert http.get(f"{path.format(id_)}?{query}").status_code == 200  # minutes will do
    else:
        outcome_of(http.get(f"{path.format(id_)}?{query}"), 400)


def test_a_cursor_belongs_to_its_history(http: httpx.Client) -> None:
    create(http, {"resourceType": "Patient"})
    create(http, {"resourceType": "Patient"})
    page = resource_of(http.get("/Patient/_history?_count=1"))
    cursor = next(link["url"] for link in page["link"] if link["relation"] == "next").partition("_cursor=")[2]
    assert http.get(f"/Patient/_history?_cursor={cursor}").status_code == 200
    for other in ("/_history?", "/Person/_history?", "/Patient/_history?_since=2020&"):
        outcome_of(http.get(f"{other}_cursor={cursor}"), 400)
    outcome_of(http.get(f"/Patient/_history?_cursor={cursor[:-2]}xx"), 400)


def test_histories_in_bundles_and_other_methods(http: httpx.Client) -> None:
    stored = create(http, {"resourceType": "Patient"})
    for type_ in ("batch", "transaction"):
        bundle = bundle_of(
            type_,
            entry("GET", "_history?_count=1"),
            entry("GET", "Patient/_history?_count=1"),
            entry("HEAD", f"Patient/{stored['id']}"),
        )
        system, of_type, head = resource_of(http.post("/", json=bundle))["entry"]
        assert told(system["resource"]["entry"]) == told(of_type["resource"]["entry"]) != []
        assert ("resource" in head, head["response"]["etag"]) == (False, 'W/"1"')
    for path in ("/_history", "/Patient/_history"):
        assert http.head(path).status_code == 200
        response = http.post(path, json={})
        outcome_of(response, 405)
        assert response.headers["allow"] == "GET, HEAD"
