"""transaction Bundles over HTTP, https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.integration.answers import (
    Resource,
    bundle_of,
    count,
    create,
    entry,
    expressions_of,
    find,
    outcome_of,
    resource_of,
)

SYSTEM = "http://example.org/transactions"


def urn() -> str:
    """Return a fresh temporary address."""
    return f"urn:uuid:{uuid4()}"


def patient(value: str, **more: object) -> Resource:
    """Return a Patient with an identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def observation(subject: str, **more: object) -> Resource:
    """Return an Observation about a subject."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **more,
    }


def run(client: httpx.Client, *entries: Resource, **headers: str) -> list[Resource]:
    """Run a transaction and return the entries of its answer."""
    response = client.post("/", json=bundle_of("transaction", *entries), headers=headers)
    assert response.status_code == 200, response.text
    answer = resource_of(response)
    assert answer["type"] == "transaction-response"
    return list(answer.get("entry", []))


def refuse(client: httpx.Client, status: int, *entries: Resource) -> Resource:
    """Run a transaction that must fail."""
    return outcome_of(client.post("/", json=bundle_of("transaction", *entries)), status)


def address(answered: Resource) -> str:
    """Return ``Type/id`` from an entry of the answer."""
    return str(answered["response"]["location"].partition("/_history")[0])


def test_references_follow_the_entries_wherever_they_stand(client: httpx.Client) -> None:
    p, o, b = urn(), urn(), urn()
    about = observation(
        p,
        contained=[{"resourceType": "Provenance", "id": "c", "target": [{"reference": p}], "recorded": "2020-01-01T00:00:00Z",
                    "agent": [{"who": {"reference": p}}]}],
        extension=[{"url": "http://example.org/e", "valueReference": {"reference": p}},
                   {"url": "http://example.org/u", "valueUri": p}],
        text={"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{p}">who</a></div>'},
        hasMember=[{"reference": o + "#part"}, {"reference": "#c"}],
        note=[{"text": p}],
    )  # fmt: skip
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"url": b}}],
    }
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "AAAA"}
    answers = run(
        client,
        entry("POST", "Observation", about, o),
        entry("POST", "DocumentReference", document, urn()),
        entry("POST", "Patient", patient(str(uuid4())), p),
        entry("POST", "Binary", binary, b),
    )
    assert [a["response"]["status"] for a in answers] == ["201 Created"] * 4
    stored = resource_of(client.get(f"/{address(answers[0])}"))
    who = address(answers[2])
    assert stored["subject"]["reference"] == who
    assert stored["contained"][0]["target"] == [{"reference": who}]
    assert stored["contained"][0]["agent"][0]["who"] == {"reference": who}
    assert [e.get("valueReference", {}).get("reference") or e["valueUri"] for e in stored["extension"]] == [who, who]
    assert f'href="{who}"' in stored["text"]["div"]
    assert [m["reference"] for m in stored["hasMember"]] == [f"{address(answers[0])}#part", "#c"]
    assert stored["note"] == [{"text": p}]
    attachment = resource_of(client.get(f"/{address(answers[1])}"))["content"][0]["attachment"]
    assert attachment["url"] == address(answers[3])
    assert [f["id"] for f in find(client, "Observation", subject=who)] == [stored["id"]]


def test_absolute_and_relative_references_to_full_urls(client: httpx.Client) -> None:
    base = "http://elsewhere.example/fhir"
    answers = run(
        client,
        entry("POST", "Patient", patient("abs"), f"{base}/Patient/p1"),
        entry("POST", "Observation", observation(f"{base}/Patient/p1"), f"{base}/Observation/o1"),
        entry("POST", "Observation", observation("Patient/p1"), f"{base}/Observation/o2"),
        entry("POST", "Observation", observation("Patient/p1"), urn()),
    )
    subjects = [resource_of(client.get(f"/{address(a)}"))["subject"]["reference"] for a in answers[1:]]
    assert subjects == [address(answers[0]), address(answers[0]), "Patient/p1"]


def test_a_reference_to_an_entry_that_is_not_there_is_refused(client: httpx.Client) -> None:
    value, lost = str(uuid4()), urn()
    outcome = refuse(
        client,
        400,
        entry("POST", "Patient", patient(value), urn()),
        entry("POST", "Observation", observation(lost, hasMember=[{"reference": "#c"}, {"reference": lost + "#x"}])),
        entry("GET", "Patient/_history", full_url=lost),
    )
    assert expressions_of(outcome) == [
        "Bundle.entry[1].resource.subject.reference",
        "Bundle.entry[1].resource.hasMember[1].reference",
    ]
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 0
    # What a Bundle that is stored as a resource refers to is its own affair.
    carried = bundle_of("collection", {"fullUrl": urn(), "resource": observation(lost)})
    assert run(client, entry("POST", "Bundle", carried))[0]["response"]["status"] == "201 Created"


def test_references_below_the_own_base_become_relative(client: httpx.Client) -> None:
    base = str(client.base_url).rstrip("/")
    here = create(client, patient(str(uuid4())))
    answers = run(
        client,
        entry("POST", "Observation", observation(f"{base}/Patient/{here['id']}", implicitRules=f"{base}/Patient/1")),
        entry("POST", "Patient", patient("new"), f"{base}/Patient/temporary"),
        entry("POST", "Observation", observation(f"{base}/Patient/temporary")),
        entry("POST", "Observation", observation(f"{base}/Patient/{here['id']}/_history/1")),
        entry("POST", "Observation", observation(f"{base}s/Patient/{here['id']}")),
    )
    stored = [resource_of(client.get(f"/{address(a)}")) for a in answers]
    assert [s.get("subject", {}).get("reference") for s in stored] == [
        f"Patient/{here['id']}",
        None,
        address(answers[1]),
        f"Patient/{here['id']}/_history/1",
        f"{base}s/Patient/{here['id']}",
    ]
    assert stored[0]["implicitRules"] == f"{base}/Patient/1"


def test_conditional_references(client: httpx.Client) -> None:
    here, new = str(uuid4()), str(uuid4())
    known = create(client, patient(here))
    answers = run(
        client,
        entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|{here}"), urn()),
        entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|{new}"), urn()),
        entry("POST", "Patient", patient(new), urn()),
    )
    subjects = [resource_of(client.get(f"/{address(a)}"))["subject"]["reference"] for a in answers[:2]]
    assert subjects == [f"Patient/{known['id']}", address(answers[2])]
    create(client, patient(here))
    outcome = refuse(
        client,
        412,
        entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|{here}")),
        entry("POST", "Patient", patient("unused")),
        entry("POST", "Observation", observation("Patient?identifier=nobody")),
        entry("POST", "Observation", observation("Patient?birthdate=never")),
    )
    assert expressions_of(outcome) == [f"Bundle.entry[{n}].resource.subject.reference" for n in (0, 2, 3)]
    assert [i["code"] for i in outcome["issue"]] == ["multiple-matches", "not-found", "value"]


def test_conditions_inside(client: httpx.Client) -> None:
    a, b, c = (str(uuid4()) for _ in range(3))
    known, gone = create(client, patient(a)), create(client, patient(c))
    p, q = urn(), urn()
    answers = run(
        client,
        entry("POST", "Patient", patient(a, active=True), p, ifNoneExist=f"identifier={SYSTEM}|{a}"),
        entry("PUT", f"Patient?identifier={SYSTEM}|{b}", patient(b), q),
        entry("DELETE", f"Patient?identifier={SYSTEM}|{c}"),
        entry("DELETE", "Patient?identifier=nobody"),
        entry("POST", "Observation", observation(p)),
        entry("POST", "Observation", observation(q)),
    )
    assert [x["response"]["status"][:3] for x in answers] == ["200", "201", "204", "204", "201", "201"]
    assert address(answers[0]) == f"Patient/{known['id']}"
    assert resource_of(client.get(f"/Patient/{known['id']}")) == known
    outcome_of(client.get(f"/Patient/{gone['id']}"), 410)
    subjects = [resource_of(client.get(f"/{address(x)}"))["subject"]["reference"] for x in answers[4:]]
    assert subjects == [address(answers[0]), address(answers[1])]
    again = run(client, entry("PUT", f"Patient?identifier={SYSTEM}|{b}", patient(b, active=True)))
    assert (again[0]["response"]["status"], again[0]["response"]["etag"]) == ("200 OK", 'W/"2"')


def test_if_match_inside(client: httpx.Client) -> None:
    stored = create(client, patient("m"))
    path = f"Patient/{stored['id']}"
    stale = entry("PUT", path, {**stored, "active": True}, ifMatch='W/"9"')
    outcome = refuse(client, 412, entry("POST", "Patient", patient("other")), stale)
    assert expressions_of(outcome) == ["Bundle.entry[1]"]
    answers = run(client, {**stale, "request": {**stale["request"], "ifMatch": 'W/"1"'}})
    assert answers[0]["response"]["etag"] == 'W/"2"'


def test_reads_see_what_the_transaction_wrote(client: httpx.Client) -> None:
    value, p = str(uuid4()), urn()
    stored = create(client, patient("r"))
    path = f"Patient/{stored['id']}"
    answers = run(
        client,
        entry("GET", f"Patient?identifier={SYSTEM}|{value}"),
        entry("GET", path),
        entry("GET", f"{path}/_history/1"),
        entry("GET", f"{path}/_history"),
        entry("GET", path, ifNoneMatch='W/"2"'),
        entry("PUT", path, {**stored, "active": True}),
        entry("POST", "Patient", patient(value), p),
    )
    search, current, first, history, unchanged, *_ = answers
    assert [e["resource"]["identifier"][0]["value"] for e in search["resource"]["entry"]] == [value]
    assert current["resource"]["active"] is True
    assert "active" not in first["resource"]
    assert history["resource"]["total"] == 2
    assert (unchanged["response"]["status"], "resource" in unchanged) == ("304 Not Modified", False)
    outcome = refuse(client, 404, entry("POST", "Patient", patient(f"{value}-lost")), entry("GET", "Patient/nobody"))
    assert expressions_of(outcome) == ["Bundle.entry[1]"]
    assert count(client, "Patient", identifier=f"{value}-lost") == 0


@pytest.mark.parametrize("type_", ["batch", "transaction"])
def test_every_kind_of_search_and_history_inside(client: httpx.Client, type_: str) -> None:
    value = str(uuid4())
    stored = create(client, patient(value))
    path = f"Patient/{stored['id']}"
    seen = create(client, observation(path))
    create(client, patient(f"{value}-after"))
    urls = [
        f"Patient?identifier={SYSTEM}|{value}&_format=xml&_pretty=true",
        f"Patient/_search?identifier={SYSTEM}|{value}",
        f"?_type=Patient,Observation&_id={stored['id']},{seen['id']}&_format=application/fhir%2Bxml",
        f"{path}/Observation?status=final&_format=xml",
        f"{path}/*?_format=xml",
        f"Observation?subject.identifier={SYSTEM}|{value}&_include=Observation:subject&_total=accurate",
        f"{path}/_history?_format=xml",
        f"Patient/_history?_since={stored['meta']['lastUpdated']}&_count=1000&_format=xml",
        f"_history?_since={stored['meta']['lastUpdated']}&_count=1000",
        f"{path}?_format=xml&_elements=identifier",
    ]
    bundle = bundle_of(type_, *[entry(method, url) for url in urls for method in ("GET", "HEAD")])
    answers = resource_of(client.post("/", json=bundle))["entry"]
    assert {a["response"]["status"] for a in answers} == {"200 OK"}
    assert not any("resource" in a for a in answers[1::2])
    *bundles, read = [a["resource"] for a in answers[::2]]
    assert read["identifier"] == stored["identifier"]
    found = [{e["resource"]["id"] for e in b["entry"] if "resource" in e} for b in bundles]
    both = {stored["id"], seen["id"]}
    assert found[:7] == [{stored["id"]}, {stored["id"]}, both, {seen["id"]}, both, both, {stored["id"]}]
    assert stored["id"] in found[7]
    assert seen["id"] not in found[7]
    assert both <= found[8]
    assert [b["type"] for b in bundles] == ["searchset"] * 6 + ["history"] * 3
    assert bundles[5]["total"] == 1


def test_searches_inside_count_what_the_transaction_wrote(client: httpx.Client) -> None:
    """Twice the same search: nothing that was counted before is taken for the total."""
    value = str(uuid4())
    search = entry("GET", f"Patient?identifier={SYSTEM}|{value}&_total=accurate")
    assert run(client, search)[0]["resource"]["total"] == 0
    made, found = run(client, entry("POST", "Patient", patient(value)), search)
    assert found["resource"]["total"] == 1
    refuse(client, 404, entry("POST", "Patient", patient(value)), search, entry("GET", "Patient/nobody"))
    assert run(client, search)[0]["resource"]["total"] == 1
    _, gone = run(client, entry("DELETE", address(made)), search)
    assert gone["resource"]["total"] == 0


@pytest.mark.parametrize("type_", ["batch", "transaction"])
def test_searches_inside_are_as_strict_as_the_client_asks(client: httpx.Client, type_: str) -> None:
    create(client, patient("strict"))
    bundle = bundle_of(type_, entry("GET", "Patient?nonsense=1&_count=1"), entry("GET", "Patient?_count=1"))
    lenient = resource_of(client.post("/", json=bundle))["entry"]
    told = [e["resource"] for e in lenient[0]["resource"]["entry"] if e["search"]["mode"] == "outcome"]
    assert [i["severity"] for o in told for i in o["issue"]] == ["warning"]
    response = client.post("/", json=bundle, headers={"prefer": "handling=strict"})
    if type_ == "transaction":
        assert expressions_of(outcome_of(response, 400)) == ["Bundle.entry[0]"]
    else:
        strict = resource_of(response)["entry"]
        assert [e["response"]["status"][:3] for e in strict] == ["400", "200"]


@pytest.mark.parametrize("type_", ["batch", "transaction"])
def test_an_entry_may_ask_for_what_changed_since_an_instant(client: httpx.Client, type_: str) -> None:
    stored = create(client, patient("since"))
    path, instant = f"Patient/{stored['id']}", stored["meta"]["lastUpdated"]
    before = instant[:-5] + ".000Z" if not instant.endswith(".000Z") else "2020-01-01T00:00:00Z"
    bundle = bundle_of(
        type_,
        entry("GET", path, ifModifiedSince=instant),
        entry("GET", path, ifModifiedSince=before),
        entry("HEAD", path),
    )
    same, changed, head = resource_of(client.post("/", json=bundle))["entry"]
    assert (same["response"]["status"], "resource" in same) == ("304 Not Modified", False)
    assert (changed["response"]["status"], changed["resource"]) == ("200 OK", stored)
    assert (head["response"]["status"], "resource" in head) == ("200 OK", False)


def test_the_client_says_whether_resources_come_back(client: httpx.Client) -> None:
    minimal = run(client, entry("POST", "Patient", patient("p")))
    full = run(client, entry("POST", "Patient", patient("p")), prefer="return=representation")
    assert ("resource" in minimal[0], full[0]["resource"]["resourceType"]) == (False, "Patient")


def test_delete_and_write_in_one(client: httpx.Client) -> None:
    doomed, kept = create(client, patient("d")), create(client, patient("k"))
    answers = run(
        client,
        entry("PUT", f"Patient/{kept['id']}", {**kept, "active": True}),
        entry("DELETE", f"Patient/{doomed['id']}"),
    )
    assert [a["response"]["status"] for a in answers] == ["200 OK", "204 No Content"]
    outcome_of(client.get(f"/Patient/{doomed['id']}"), 410)
    assert run(client, entry("DELETE", f"Patient/{doomed['id']}"))[0]["response"]["status"] == "204 No Content"


def test_all_that_is_wrong_is_told_and_nothing_done(client: httpx.Client) -> None:
    value = str(uuid4())
    good = entry("POST", "Patient", patient(value), urn())
    outcome = refuse(
        client,
        400,
        good,
        entry("POST", "Patient"),
        entry("POST", "Observation", patient("mismatch")),
        entry("PUT", "Nonsense/1", patient("x")),
        entry("GET", "Patient/$everything"),
        entry("PATCH", "Patient/1"),
        entry("POST", "/", bundle_of("transaction")),
        {"resource": patient("x")},
        entry("DELETE", "Patient"),
        entry("POST", "Patient", patient("x"), ifNoneExist="Observation?code=1"),
    )
    assert expressions_of(outcome) == [
        "Bundle.entry[1].resource",
        "Bundle.entry[2].request.url",
        "Bundle.entry[3].request.url",
        "Bundle.entry[4]",
        "Bundle.entry[5].resource",
        "Bundle.entry[6].request.url",
        "Bundle.entry[7].request",
        "Bundle.entry[8]",
        "Bundle.entry[9]",
    ]
    outcome = refuse(
        client,
        400,
        good,
        entry("PUT", "Patient/a1", {"resourceType": "Patient"}),
        entry("PUT", "Bundle/a2", {**bundle_of("collection"), "id": "other"}),
    )
    assert expressions_of(outcome) == ["Bundle.entry[1].resource.id", "Bundle.entry[2].resource.id"]
    invalid = refuse(client, 400, good, entry("POST", "Patient", patient("x", birthDate="soon", nonsense=1)))
    assert set(expressions_of(invalid)) == {"Bundle.entry[1].resource.birthDate", "Bundle.entry[1].resource.nonsense"}
    outcome = refuse(
        client,
        404,
        good,
        entry("DELETE", "Patient/nobody"),
        entry("PUT", "Patient/nobody2", patient("x", id="nobody2"), ifMatch='W/"4"'),
    )
    assert expressions_of(outcome) == ["Bundle.entry[1]", "Bundle.entry[2]"]
    assert count(client, "Patient", identifier=f"{SYSTEM}|{value}") == 0


@pytest.mark.parametrize("again", ["PUT", "DELETE", "full-url", "condition", "match"])
def test_one_resource_is_written_once(client: httpx.Client, again: str) -> None:
    value, same = str(uuid4()), urn()
    stored = create(client, patient(value))
    path = f"Patient/{stored['id']}"
    fresh = f"identifier={SYSTEM}|{value}-new"
    first, second = {
        "PUT": (entry("PUT", path, stored), entry("PUT", path, stored)),
        "DELETE": (entry("PUT", path, stored), entry("DELETE", path)),
        "full-url": (entry("POST", "Patient", patient("x"), same), entry("POST", "Patient", patient("y"), same)),
        "condition": (
            entry("POST", "Patient", patient(f"{value}-new"), ifNoneExist=fresh),
            entry("PUT", f"Patient?{fresh}", patient(f"{value}-new")),
        ),
        "match": (
            entry("DELETE", path),
            entry("POST", "Patient", patient(value), ifNoneExist=f"identifier={SYSTEM}|{value}"),
        ),
    }[again]
    outcome = refuse(client, 400, first, second)
    assert outcome["issue"][0]["code"] == "duplicate"
    assert outcome["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    assert resource_of(client.get(f"/{path}"))["meta"]["versionId"] == "1"


def test_empty_nested_and_large_bundles(client: httpx.Client) -> None:
    assert run(client) == []
    inner = bundle_of("transaction", entry("POST", "Patient", patient("inner")))
    nested = run(client, entry("POST", "Bundle", inner, urn()))
    assert resource_of(client.get(f"/{address(nested[0])}"))["entry"] == inner["entry"]
    value, p = str(uuid4()), urn()
    members = [entry("POST", "Observation", observation(p), urn()) for _ in range(999)]
    answers = run(client, *members, entry("POST", "Patient", patient(value), p))
    assert len({address(a) for a in answers}) == 1000
    assert count(client, "Observation", subject=address(answers[-1])) == 999


@pytest.mark.parametrize("type_", ["collection", "document", "searchset", "history", "transaction-response", "message"])
def test_other_bundles_are_not_run(client: httpx.Client, type_: str) -> None:
    outcome_of(client.post("/", json=bundle_of(type_)), 400)


def test_extensions_in_place_of_a_value(client: httpx.Client) -> None:
    extension = {"extension": [{"url": "http://example.org/e", "valueCode": "x"}]}
    typeless = {"resourceType": "Bundle", "_type": extension}
    outcome_of(client.post("/", json=typeless), 400)
    urlless = {"request": {"method": "GET", "_url": extension}}
    methodless = {"request": {"_method": extension, "url": "Patient/1"}}
    outcome = refuse(client, 400, urlless, methodless)
    assert expressions_of(outcome) == ["Bundle.entry[0].request.url", "Bundle.entry[1].request.method"]
