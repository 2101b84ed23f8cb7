"""Histories of types and of the server show what the caller may read; expunging needs a permission of its own."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from fhir_server.auth.caller import ALL_INTERACTIONS, Caller, Grant
from fhir_server.operations.expunge import EXPUNGE
from fhir_server.operations.registry import register
from tests.interactions.conftest import Desk, Resource, caller_with

SYSTEM = "http://example.org/ward"


def patient(ward: str, **more: object) -> Resource:
    """Return a Patient of a ward."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": ward}], **more}


def pages(desk: Desk, caller: Caller, url: str) -> Iterator[Resource]:
    """Yield the entries of a history, page by page."""
    while url:
        page = desk.get(caller, url)
        assert "total" not in page or len(page.get("entry", [])) == page["total"]
        yield from page.get("entry", [])
        following = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        url = following.removeprefix("http://test/fhir/")


def test_only_versions_that_the_caller_may_read_are_shown(desk: Desk, anyone: Caller) -> None:
    id_, other = str(uuid4()), str(uuid4())
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("A", id=id_))
    desk.ask(anyone, "PUT", f"Patient/{other}", patient("B", id=other))
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("B", id=id_))
    desk.ask(anyone, "DELETE", f"Patient/{id_}")
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("A", id=id_))
    desk.ask(anyone, "DELETE", f"Patient/{id_}")
    desk.ask(anyone, "POST", "Organization", {"resourceType": "Organization", "name": "x"})
    criteria = (("identifier", f"{SYSTEM}|A"),)
    ours = caller_with(Grant("Patient", frozenset(("read",)), criteria))
    for url in ("_history", "Patient/_history"):
        for size in ("", "?_count=1", "?_count=2"):
            shown = [(e["fullUrl"].rpartition("/")[2], e["response"]["etag"]) for e in pages(desk, ours, url + size)]
            assert shown == [(id_, 'W/"5"'), (id_, 'W/"4"'), (id_, 'W/"1"')], (url, size)
    everything = [e["fullUrl"].rpartition("/")[2] for e in pages(desk, anyone, "_history?_count=2")]
    assert everything[1:] == [id_, id_, id_, id_, other, id_]
    assert "total" not in desk.get(ours, f"Patient/{id_}/_history?_count=1")


def test_without_a_grant_to_read_there_is_no_history(desk: Desk) -> None:
    searcher = caller_with(Grant("Patient", frozenset(("search",))))
    assert desk.status(searcher, "GET", "_history") == 403
    assert desk.status(searcher, "GET", "Patient/_history") == 403
    reader = caller_with(Grant("Patient", frozenset(("read",))))
    assert desk.status(reader, "GET", "_history") == 200
    assert desk.status(reader, "GET", "Observation/_history") == 403


@pytest.mark.parametrize(
    ("grants", "statuses"),
    [
        ([], (403, 403, 403)),
        ([Grant()], (403, 403, 403)),
        ([Grant("Patient", ALL_INTERACTIONS | {"expunge"})], (200, 200, 403)),
        ([Grant("Observation", ALL_INTERACTIONS | {"expunge"})], (403, 403, 403)),
        ([Grant("Patient", ALL_INTERACTIONS | {"expunge"}, (("identifier", "x"),))], (403, 403, 403)),
        ([Grant("*", frozenset(("expunge",)))], (403, 403, 403)),
        ([Grant("*", ALL_INTERACTIONS | {"expunge"})], (200, 200, 200)),
    ],
)
def test_expunging_is_granted_by_name(dsn: str, anyone: Caller, grants: list[Grant], statuses: tuple[int, ...]) -> None:
    desk = Desk(dsn, register([EXPUNGE]))
    id_ = str(uuid4())
    desk.ask(anyone, "PUT", f"Patient/{id_}", patient("A", id=id_))
    body = {"resourceType": "Parameters", "parameter": [{"name": "expungePreviousVersions", "valueBoolean": True}]}
    caller = caller_with(*grants)
    places = (f"Patient/{id_}/$expunge", "Patient/$expunge", "$expunge")
    assert tuple(desk.status(caller, "POST", place, body) for place in places) == statuses


def test_a_patch_is_held_to_the_old_and_the_new_content(desk: Desk, anyone: Caller) -> None:
    own, other = str(uuid4()), str(uuid4())
    desk.ask(anyone, "PUT", f"Patient/{own}", patient("A", id=own))
    desk.ask(anyone, "PUT", f"Patient/{other}", patient("B", id=other))
    ours = caller_with(Grant("Patient", frozenset(("update", "search")), (("identifier", f"{SYSTEM}|A"),)))

    def patch(caller: Caller, id_: str, path: str, value: object) -> int:
        data = [{"op": "add", "path": path, "value": value}]
        return desk.patch(caller, f"Patient/{id_}", data)

    assert patch(ours, own, "/active", True) == 200
    assert patch(ours, own, "/identifier", patient("B")["identifier"]) == 403
    assert patch(ours, other, "/identifier", patient("A")["identifier"]) == 403
    assert patch(caller_with(Grant("Patient", frozenset(("create", "read")))), own, "/active", True) == 403
    assert desk.get(anyone, f"Patient/{own}")["meta"]["versionId"] == "2"
    desk.ask(anyone, "DELETE", f"Patient/{other}")
    assert patch(ours, other, "/active", True) == 404
    assert patch(anyone, other, "/active", True) == 410
