"""Every claim of the CapabilityStatement is kept, and what it doesn't claim is refused.

https://hl7.org/fhir/R4/capabilitystatement.html. The tests read the statement and do what it says, claim by claim.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import httpx
import pytest

from conformance.definitions import resource_types
from tests.integration.answers import Resource, outcome_of, resource_of
from tests.integration.minimal import minimal
from tests.integration.test_capabilities import value_for
from tests.server import RunningServer

STRICT = {"prefer": "handling=strict"}
FHIR_JSON = "application/fhir+json"
OK = (200, 201, 204)
CHUNK = 40
"""So many includes are asked for at once."""


@pytest.fixture(scope="module")
def own(server: RunningServer) -> Iterator[httpx.Client]:
    """A client of a server of this module's own, for these tests store one resource of each type."""
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def told(own: httpx.Client) -> Resource:
    """The server's CapabilityStatement."""
    return resource_of(own.get("/metadata"))


@pytest.fixture(scope="module")
def rest(told: Resource) -> Resource:
    """What it says of the server's side of REST."""
    (found,) = told["rest"]
    assert found["mode"] == "server"
    return dict(found)


@pytest.fixture(scope="module")
def stored(own: httpx.Client) -> dict[str, str]:
    """The id of a resource of each type."""
    return {name: resource_of(own.post(f"/{name}", json=minimal(name)))["id"] for name in resource_types()}


def told_of(rest: Resource, resource_type: str) -> Resource:
    """Return what the statement says of a type."""
    (found,) = (r for r in rest["resource"] if r["type"] == resource_type)
    return dict(found)


def assert_works(answer: httpx.Response, *claim: str) -> None:
    """Fail, with the claim, unless the answer is a success."""
    assert answer.status_code in OK, (claim, answer.status_code, answer.text[:500])


# -- interactions ----------------------------------------------------------------------------------------------------

_NOTHING_CHANGES = [{"op": "test", "path": "/resourceType"}]

INTERACTIONS: dict[str, Callable[[httpx.Client, str, str], httpx.Response]] = {
    "read": lambda c, t, i: c.get(f"/{t}/{i}"),
    "vread": lambda c, t, i: c.get(f"/{t}/{i}/_history/1"),
    "update": lambda c, t, i: c.put(f"/{t}/{i}", json={**minimal(t), "id": i}),
    "patch": lambda c, t, i: c.patch(
        f"/{t}/{i}",
        content=json.dumps([{**operation, "value": t} for operation in _NOTHING_CHANGES]),
        headers={"content-type": "application/json-patch+json"},
    ),
    "history-instance": lambda c, t, i: c.get(f"/{t}/{i}/_history"),
    "history-type": lambda c, t, i: c.get(f"/{t}/_history"),  # noqa: ARG005 - one signature for all
    "create": lambda c, t, i: c.post(f"/{t}", json=minimal(t)),  # noqa: ARG005
    "search-type": lambda c, t, i: c.get(f"/{t}", params={"_id": i}, headers=STRICT),
    "delete": lambda c, t, i: c.delete(f"/{t}/{i}"),
}
# In the order in which each finds what it needs: what deletes comes last.
ORDER = tuple(INTERACTIONS)


@pytest.mark.parametrize("resource_type", resource_types())
def test_every_interaction_of_a_type_works(own: httpx.Client, rest: Resource, resource_type: str) -> None:
    claimed = [i["code"] for i in told_of(rest, resource_type)["interaction"]]
    assert claimed
    id_ = resource_of(own.post(f"/{resource_type}", json=minimal(resource_type)))["id"]
    for code in sorted(claimed, key=ORDER.index):
        assert_works(INTERACTIONS[code](own, resource_type, id_), resource_type, code)
    for code in set(INTERACTIONS) - set(claimed):
        outcome_of(INTERACTIONS[code](own, resource_type, id_))


@pytest.mark.parametrize("resource_type", resource_types())
def test_every_condition_works(own: httpx.Client, rest: Resource, stored: dict[str, str], resource_type: str) -> None:
    said, id_ = told_of(rest, resource_type), stored[resource_type]
    sent, criteria = {**minimal(resource_type), "id": id_}, {"_id": id_}
    assert said["conditionalRead"] == "full-support"
    etag = own.get(f"/{resource_type}/{id_}").headers["etag"]
    assert own.get(f"/{resource_type}/{id_}", headers={"if-none-match": etag}).status_code == 304
    since = {"if-modified-since": "Wed, 01 Jan 2180 00:00:00 GMT"}
    assert own.get(f"/{resource_type}/{id_}", headers=since).status_code == 304
    assert said["conditionalCreate"] is True
    again = own.post(f"/{resource_type}", json=minimal(resource_type), headers={"if-none-exist": f"_id={id_}"})
    assert again.status_code == 200, again.text
    assert said["conditionalUpdate"] is True
    assert own.put(f"/{resource_type}", params=criteria, json=sent).status_code == 200
    assert said["versioning"] == "versioned"
    assert said["readHistory"] is True
    assert own.get(f"/{resource_type}/{id_}/_history/1").status_code == 200
    assert said["updateCreate"] is True
    new = {**minimal(resource_type), "id": f"new-{id_[:36]}"}
    assert own.put(f"/{resource_type}/{new['id']}", json=new).status_code == 201
    assert said["conditionalDelete"] == "multiple"
    assert_works(own.delete(f"/{resource_type}", params={"_id": new["id"]}), resource_type, "conditionalDelete")


def test_every_interaction_of_the_system_works(own: httpx.Client, rest: Resource) -> None:
    entry = {"resource": minimal("Basic"), "request": {"method": "POST", "url": "Basic"}}
    calls: dict[str, Callable[[], httpx.Response]] = {
        "transaction": lambda: own.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]}),
        "batch": lambda: own.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]}),
        "history-system": lambda: own.get("/_history"),
        "search-system": lambda: own.get("/", params={"_type": "Basic"}, headers=STRICT),
    }
    assert {i["code"] for i in rest["interaction"]} == set(calls)
    for code, call in calls.items():
        assert_works(call(), code)


# -- searches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource_type", resource_types())
def test_every_search_parameter_works(own: httpx.Client, rest: Resource, resource_type: str) -> None:
    said = told_of(rest, resource_type)["searchParam"]
    assert said
    for parameter in said:
        assert parameter["documentation"]
        query = {parameter["name"]: value_for(parameter["definition"], parameter["type"])}
        assert_works(own.get(f"/{resource_type}", params=query, headers=STRICT), resource_type, parameter["name"])


def test_every_search_parameter_of_the_system_works(own: httpx.Client, rest: Resource) -> None:
    for parameter in rest["searchParam"]:
        query = {"_type": "Patient,Basic", parameter["name"]: value_for(parameter["definition"], parameter["type"])}
        assert_works(own.get("/", params=query, headers=STRICT), parameter["name"])


@pytest.mark.parametrize("resource_type", resource_types())
def test_every_include_works(own: httpx.Client, rest: Resource, stored: dict[str, str], resource_type: str) -> None:
    said = told_of(rest, resource_type)
    for name, claim in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        values = said.get(claim, [])
        assert values
        for start in range(0, len(values), CHUNK):
            query: list[tuple[str, str | int | float | bool | None]] = [("_id", stored[resource_type])]
            query += [(name, value) for value in values[start : start + CHUNK]]
            assert_works(own.get(f"/{resource_type}", params=query, headers=STRICT), resource_type, claim)


def test_every_compartment_is_searched(own: httpx.Client, rest: Resource, stored: dict[str, str]) -> None:
    assert len(rest["compartment"]) == 5
    for url in rest["compartment"]:
        found = resource_of(own.get("/CompartmentDefinition", params={"url": url}))
        definition = found["entry"][0]["resource"]
        members = [r["code"] for r in definition["resource"] if r.get("param")]
        assert members
        place = f"/{definition['code']}/{stored[definition['code']]}"
        for member in members:
            assert_works(own.get(f"{place}/{member}", headers=STRICT), url, member)
        outside = next(name for name in resource_types() if name not in members)
        outcome_of(own.get(f"{place}/{outside}", headers=STRICT))


# -- operations ------------------------------------------------------------------------------------------------------


def _claimed_operations(rest: Resource) -> Iterator[tuple[str | None, Resource]]:
    for operation in rest.get("operation", ()):
        yield None, operation
    for resource in rest["resource"]:
        for operation in resource.get("operation", ()):
            yield resource["type"], operation


def _is_known(answer: httpx.Response) -> bool:
    """Tell whether a call was understood as one of an operation, whatever it lacks."""
    if answer.status_code in OK or answer.status_code == 202:
        return True
    return answer.status_code not in (405, 501) and all(
        issue["code"] != "not-supported" for issue in outcome_of(answer)["issue"]
    )


def _parameters(*parts: dict[str, Any]) -> Resource:
    return {"resourceType": "Parameters", "parameter": list(parts)}


def test_every_operation_is_defined_and_called_where_its_definition_says(
    own: httpx.Client, rest: Resource, stored: dict[str, str]
) -> None:
    claims = list(_claimed_operations(rest))
    assert len({operation["definition"] for _, operation in claims}) > 10
    for resource_type, operation in claims:
        (entry,) = resource_of(own.get("/OperationDefinition", params={"url": operation["definition"]}))["entry"]
        definition = entry["resource"]
        code = operation["name"]
        assert definition["code"] == code
        places = [""] if definition["system"] and resource_type is None else []
        if resource_type is not None:
            places += [f"/{resource_type}"] if definition["type"] else []
            places += [f"/{resource_type}/{stored[resource_type]}"] if definition["instance"] else []
        assert places, operation
        for place in places:
            assert _is_known(own.post(f"{place}/${code}", json=_parameters())), (place, code)


def test_operations_answer(own: httpx.Client) -> None:
    name = {"family": "Claims", "given": ["Ada"]}
    patient = resource_of(own.post("/Patient", json={**minimal("Patient"), "name": [name], "birthDate": "1970-02-03"}))
    visit = resource_of(own.post("/Encounter", json=minimal("Encounter")))
    composition = resource_of(own.post("/Composition", json=minimal("Composition")))
    tag = {"name": "meta", "valueMeta": {"tag": [{"system": "http://example.org/tag", "code": "x"}]}}
    match = {"name": "resource", "resource": {"resourceType": "Patient", "name": [name], "birthDate": "1970-02-03"}}
    me = f"/Patient/{patient['id']}"
    answers = {
        "everything of a patient": own.get(f"{me}/$everything"),
        "everything of an encounter": own.get(f"/Encounter/{visit['id']}/$everything"),
        "lastn": own.get(
            "/Observation/$lastn", params={"patient": f"Patient/{patient['id']}", "category": "vital-signs"}
        ),
        "meta of a resource": own.get(f"{me}/$meta"),
        "meta of a type": own.get("/Patient/$meta"),
        "meta of the system": own.get("/$meta"),
        "meta-add": own.post(f"{me}/$meta-add", json=_parameters(tag)),
        "meta-delete": own.post(f"{me}/$meta-delete", json=_parameters(tag)),
        "document": own.get(f"/Composition/{composition['id']}/$document"),
        "match": own.post("/Patient/$match", json=_parameters(match)),
        "graphql": own.get(f"{me}/$graphql", params={"query": "{id}"}),
    }
    for what, answer in answers.items():
        assert_works(answer, what)


# -- formats ---------------------------------------------------------------------------------------------------------


def test_every_format_is_written_and_read(own: httpx.Client, told: Resource) -> None:
    assert told["format"]
    for format_ in told["format"]:
        answer = own.get("/Patient", params={"_format": format_})
        assert_works(answer, format_)
        written = answer.headers["content-type"].partition(";")[0]
        assert format_.rpartition("/")[2].removeprefix("fhir+") in written
        if "/" in format_:
            assert own.get("/Patient", headers={"accept": format_}).headers["content-type"].startswith(format_)
    xml = '<Basic xmlns="http://hl7.org/fhir"><code><text value="x"/></code></Basic>'
    sent = {"application/fhir+json": json.dumps(minimal("Basic")), "application/fhir+xml": xml}
    for media_type, body in sent.items():
        answer = own.post("/Basic", content=body, headers={"content-type": media_type})
        assert answer.status_code == 201, (media_type, answer.text)


PATCHES = {
    "application/json-patch+json": json.dumps([{"op": "add", "path": "/active", "value": True}]),
    "application/xml-patch+xml": (
        '<diff xmlns:f="http://hl7.org/fhir"><add sel="f:Patient"><active xmlns="http://hl7.org/fhir" value="true"/></add></diff>'
    ),
    FHIR_JSON: json.dumps(
        _parameters(
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "add"},
                    {"name": "path", "valueString": "Patient"},
                    {"name": "name", "valueString": "active"},
                    {"name": "value", "valueBoolean": True},
                ],
            }
        )
    ),
    "application/fhir+xml": (
        '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>'
        '<part><name value="type"/><valueCode value="add"/></part><part><name value="path"/><valueString value="Patient"/></part>'
        '<part><name value="name"/><valueString value="active"/></part><part><name value="value"/><valueBoolean value="true"/></part>'
        "</parameter></Parameters>"
    ),
}


def test_every_patch_format_is_taken(own: httpx.Client, told: Resource) -> None:
    assert told["patchFormat"]
    for media_type in told["patchFormat"]:
        id_ = resource_of(own.post("/Patient", json={"resourceType": "Patient", "gender": "other"}))["id"]
        body = PATCHES[media_type]
        answer = own.patch(f"/Patient/{id_}", content=body, headers={"content-type": media_type})
        assert_works(answer, media_type)
        assert own.get(f"/Patient/{id_}").json()["active"] is True


# -- what is not claimed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resource_type", resource_types())
def test_parameters_that_are_not_claimed_are_refused(
    own: httpx.Client, rest: Resource, stored: dict[str, str], resource_type: str
) -> None:
    said = told_of(rest, resource_type)
    known = {p["name"] for p in said["searchParam"]}
    elsewhere = {p["name"] for r in rest["resource"] for p in r["searchParam"]} - known
    for name in [*sorted(elsewhere)[:5], "nothing", "nothing.at-all", "_has:Nothing:x:y"]:
        outcome_of(own.get(f"/{resource_type}", params={name: "x"}, headers=STRICT), 400)
        told_so = resource_of(own.get(f"/{resource_type}", params={name: "x"}))
        assert any(e["search"]["mode"] == "outcome" for e in told_so["entry"]), name
    for name in ("_include", "_revinclude"):
        outcome_of(own.get(f"/{resource_type}", params={name: f"{resource_type}:nothing"}, headers=STRICT), 400)
    outcome_of(own.get(f"/{resource_type}/{stored[resource_type]}/$nothing"))
    outcome_of(own.post(f"/{resource_type}/$nothing", json=_parameters()))


def test_operations_are_refused_where_they_are_not_claimed(
    own: httpx.Client, rest: Resource, stored: dict[str, str]
) -> None:
    claimed = {(resource_type, operation["name"]) for resource_type, operation in _claimed_operations(rest)}
    every = sorted({code for _, code in claimed})
    assert every
    tried = 0
    for code in every:
        for resource_type in (None, "Basic", "Patient", "Observation"):
            if (resource_type, code) in claimed:
                continue
            place = "" if resource_type is None else f"/{resource_type}"
            assert not _is_known(own.post(f"{place}/${code}", json=_parameters())), (place, code)
            tried += 1
            if resource_type is not None:
                there = f"{place}/{stored[resource_type]}"
                assert not _is_known(own.post(f"{there}/${code}", json=_parameters())), (there, code)
    assert tried > 20


UNCLAIMED: Sequence[tuple[str, str]] = (
    ("DELETE", "/"),
    ("PUT", "/"),
    ("PATCH", "/"),
    ("POST", "/Patient/x"),
    ("PUT", "/Patient"),
    ("PATCH", "/Patient"),
    ("DELETE", "/Patient"),
    ("POST", "/Patient/x/_history"),
    ("PUT", "/Patient/x/_history/1"),
    ("DELETE", "/Patient/x/_history/1"),
    ("GET", "/Nothing"),
    ("GET", "/Nothing/x"),
    ("GET", "/DomainResource"),
    ("GET", "/Patient/x/Nothing"),
    ("GET", "/Basic/x/Patient"),
    ("GET", "/$nothing"),
    ("POST", "/metadata"),
    ("GET", "/Patient/x/y/z"),
)


@pytest.mark.parametrize(("method", "path"), UNCLAIMED)
def test_interactions_that_are_not_claimed_are_refused(own: httpx.Client, method: str, path: str) -> None:
    body = json.dumps(minimal("Patient")) if method in ("POST", "PUT", "PATCH") else None
    answer = own.request(method, path, content=body, headers={"content-type": FHIR_JSON})
    outcome_of(answer)


def test_formats_that_are_not_claimed_are_refused(own: httpx.Client, told: Resource) -> None:
    id_ = resource_of(own.post("/Patient", json=minimal("Patient")))["id"]
    for format_ in ("ttl", "text/turtle", "application/fhir+turtle", "html", "application/pdf"):
        assert format_ not in told["format"]
        assert own.get("/Patient", params={"_format": format_}).status_code == 406
    send = partial(own.post, "/Patient", content=json.dumps(minimal("Patient")))
    for media_type in ("text/turtle", "application/pdf", "application/fhir+turtle"):
        assert own.get("/Patient", headers={"accept": media_type}).status_code == 406
        assert send(headers={"content-type": media_type}).status_code == 415
        assert media_type not in told["patchFormat"]
        refused = own.patch(f"/Patient/{id_}", content=b"x", headers={"content-type": media_type})
        assert refused.status_code == 415
    other = own.get("/Patient", headers={"accept": "application/fhir+json; fhirVersion=5.0"})
    assert other.status_code == 406


def test_it_says_how_to_log_in(told: Resource, rest: Resource) -> None:
    assert rest["security"]["description"]
    assert told["software"]["name"]
    assert told["software"]["version"]
    assert told["implementation"]["url"].startswith("http")
