"""Installing packages, over HTTP and by the command line: what they bring takes effect in every worker."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from conformance.decode import check
from tests.conformance.packages.archives import package
from tests.integration.answers import Resource, create, find, outcome_of, resource_of
from tests.integration.test_async import PATIENCE
from tests.server import RunningServer
from tests.shared import shared

US_CORE = "http://hl7.org/fhir/us/core"
GZIP = {"content-type": "application/gzip"}
STREAK = 12
"""So many answers in a row of new connections come from both workers, all but surely."""


@pytest.fixture(scope="module")
def server(dsn: str) -> Iterator[RunningServer]:
    """A server with two workers over an empty database of this module's own."""
    with RunningServer.on_database(dsn, workers=2) as running:
        yield running


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    """A client whose every request is a new connection, which either worker may take."""
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=server.base_url, timeout=60, limits=limits) as client:
        yield client


def us_core() -> bytes:
    """Return the package US Core 6.1.0."""
    return shared("spec", "us-core", "hl7.fhir.us.core-6.1.0.tgz").read_bytes()


def install(client: httpx.Client, content: bytes, query: str = "") -> dict[str, list[Any]]:
    """Install a package; return what is told, by name."""
    response = client.post(f"/$install-package{query}", content=content, headers=GZIP)
    assert response.status_code == 200, response.text
    return told(resource_of(response))


def told(parameters: Resource) -> dict[str, list[Any]]:
    """Return the values of Parameters by name."""
    check(parameters)
    found: dict[str, list[Any]] = {}
    for parameter in parameters["parameter"]:
        found.setdefault(parameter.pop("name"), []).extend(parameter.values())
    return found


def everywhere(holds: Callable[[], bool]) -> None:
    """Wait until something holds of many answers in a row."""
    until, streak = time.monotonic() + PATIENCE, 0
    while streak < STREAK:
        streak = streak + 1 if holds() else 0
        assert time.monotonic() < until, "it didn't take effect everywhere"
        if not streak:
            time.sleep(0.1)


def statement(client: httpx.Client) -> Resource:
    """Return the valid CapabilityStatement."""
    found = resource_of(client.get("/metadata"))
    check(found)
    return found


def supported(client: httpx.Client, resource_type: str) -> list[str]:
    """Return the profiles that the CapabilityStatement lists of a type."""
    (one,) = (r for r in statement(client)["rest"][0]["resource"] if r["type"] == resource_type)
    return list(one.get("supportedProfile", []))


def praxis(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``praxis packages``."""
    command = [sys.executable, "-m", "fhir_server.cli", "packages", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "DATABASE_URL": dsn, "COLUMNS": "200"}
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True)


def test_us_core_takes_effect_in_every_worker(http: httpx.Client) -> None:
    race = {"url": "ombCategory", "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}}
    extension = {"url": f"{US_CORE}/StructureDefinition/us-core-race", "extension": [race]}
    older = create(http, {"resourceType": "Patient", "extension": [extension]})

    missing = outcome_of(http.post("/$install-package", content=us_core(), headers=GZIP), 422)
    assert [issue["code"] for issue in missing["issue"]] == ["not-found"] * 7
    assert missing["issue"][0]["diagnostics"] == (
        "hl7.fhir.us.core#6.1.0 needs hl7.fhir.uv.bulkdata#2.0.0, which isn't installed."
    )
    assert "implementationGuide" not in statement(http)

    done = install(http, us_core(), "?ignoreMissing=true")
    assert (done["name"], done["version"], done["resources"]) == (["hl7.fhir.us.core"], ["6.1.0"], [210])
    assert len(done["missing"]) == 7
    assert done["reindexed"] == ["CareTeam", "Condition", "Encounter", "Goal", "Patient"]
    assert [url.rpartition("/")[2] for url in done["searchParameter"]] == [
        "us-core-careteam-role",
        "us-core-condition-asserted-date",
        "us-core-encounter-discharge-disposition",
        "us-core-ethnicity",
        "us-core-goal-description",
        "us-core-patient-gender-identity",
        "us-core-race",
    ]
    assert "skipped" not in done

    guide = f"{US_CORE}/ImplementationGuide/hl7.fhir.us.core|6.1.0"
    everywhere(lambda: statement(http).get("implementationGuide") == [guide])
    everywhere(lambda: supported(http, "Patient") == [f"{US_CORE}/StructureDefinition/us-core-patient"])
    assert len(supported(http, "Observation")) == 22
    assert supported(http, "Account") == []
    # Once the background job has been through, what was stored before is found, too.
    everywhere(lambda: [r["id"] for r in find(http, "Patient", race="2106-3")] == [older["id"]])
    everywhere(lambda: not warnings(http, "/Patient?race=2106-3"))

    again = install(http, us_core(), "?ignoreMissing=true")
    assert "reindexed" not in again
    everywhere(lambda: [r["id"] for r in find(http, "Patient", race="2106-3")] == [older["id"]])


def warnings(client: httpx.Client, url: str) -> list[str]:
    """Return the diagnostics of a search's outcome entry."""
    entries = resource_of(client.get(url)).get("entry", [])
    outcomes = [entry["resource"] for entry in entries if entry["search"]["mode"] == "outcome"]
    return [issue["diagnostics"] for outcome in outcomes for issue in outcome["issue"]]


def test_its_value_sets_answer_searches(http: httpx.Client) -> None:
    install(http, us_core(), "?ignoreMissing=true")
    system = f"{US_CORE}/CodeSystem/us-core-documentreference-category"
    note = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"title": "x"}}],
        "category": [{"coding": [{"system": system, "code": "clinical-note"}]}],
    }
    stored = create(http, note)
    create(http, {**note, "category": [{"coding": [{"system": system, "code": "other"}]}]})
    value_set = f"{US_CORE}/ValueSet/us-core-documentreference-category"
    everywhere(
        lambda: [r["id"] for r in find(http, "DocumentReference", **{"category:in": value_set})] == [stored["id"]]
    )
    versioned = {"category:in": f"{value_set}|6.1.0"}
    assert [r["id"] for r in find(http, "DocumentReference", **versioned)] == [stored["id"]]
    outcome_of(http.get("/DocumentReference", params={"category:in": f"{value_set}|5.0.0"}), 400)


def test_its_definitions_are_found_by_url(http: httpx.Client) -> None:
    install(http, us_core(), "?ignoreMissing=true")
    url = f"{US_CORE}/StructureDefinition/us-core-patient"
    everywhere(lambda: [r["id"] for r in find(http, "StructureDefinition", url=url)] == ["us-core-patient"])
    bundle = resource_of(
        http.get("/StructureDefinition", params={"url": url, "_total": "accurate", "version": "6.1.0"})
    )
    assert bundle["total"] == 1
    (entry,) = bundle["entry"]
    assert entry["fullUrl"] == url
    assert entry["resource"]["snapshot"]
    assert find(http, "StructureDefinition", url=url, version="5.0.0") == []
    assert find(http, "StructureDefinition", url=url, status="active") == []
    assert find(http, "ValueSet", url=url) == []
    (short,) = find(http, "StructureDefinition", url=url, _elements="name")
    assert short.keys() == {"resourceType", "id", "meta", "name", "url", "status", "kind", "abstract", "type"}
    # A resource of the tenant's own goes before.
    own = create(http, {**entry["resource"], "title": "Ours"})
    assert [r["id"] for r in find(http, "StructureDefinition", url=url)] == [own["id"]]
    http.delete(f"/StructureDefinition/{own['id']}").raise_for_status()


def test_a_package_in_a_binary_in_parameters(http: httpx.Client) -> None:
    value_set = {"resourceType": "ValueSet", "url": "http://example.org/v", "status": "active"}
    content = package(value_set, {"resourceType": "Basic", "code": {"text": "x"}}, dependencies={"a.b": "1.0.0"})
    binary = {"resourceType": "Binary", "contentType": "application/gzip", "data": base64.b64encode(content).decode()}
    body: Resource = {"resourceType": "Parameters", "parameter": [{"name": "package", "resource": binary}]}
    refused = outcome_of(http.post("/$install-package", json=body), 422)
    assert "needs a.b#1.0.0" in refused["issue"][0]["diagnostics"]

    body["parameter"].append({"name": "ignoreMissing", "valueBoolean": True})
    done = told(resource_of(http.post("/$install-package", json=body)))
    assert done == {
        "name": ["example.package"],
        "version": ["1.0.0"],
        "resources": [1],
        "missing": ["a.b#1.0.0"],
        "skipped": ["Basic-1.json: the Basic has no canonical URL"],
    }
    assert told(resource_of(http.post("/$install-package?ignoreMissing=true", json=binary)))["resources"] == [1]


def test_a_dependency_that_is_installed(http: httpx.Client) -> None:
    install(http, package(name="a.base", version="1.2.3"))
    done = install(http, package(name="a.user", dependencies={"a.base": "1.2.x"}))
    assert "missing" not in done
    other = http.post(
        "/$install-package", content=package(name="a.user", dependencies={"a.base": "2.0.0"}), headers=GZIP
    )
    assert outcome_of(other, 422)["issue"][0]["diagnostics"] == (
        "a.user#1.0.0 needs a.base#2.0.0, which isn't installed (installed: 1.2.3)."
    )


def test_what_is_no_valid_resource_is_left_out_and_told(http: httpx.Client) -> None:
    broken = {"resourceType": "SearchParameter", "url": "http://example.org/p", "code": "p", "base": "Patient"}
    done = install(http, package(broken))
    (note,) = done["skipped"]
    assert note.startswith("SearchParameter-0.json: it is no valid resource of FHIR R4: ")
    assert done["resources"] == [0]


@pytest.mark.parametrize(
    ("content", "headers", "query", "status", "text"),
    [
        (b"", GZIP, "", 400, "not a gzipped tar archive"),
        (b"nonsense", GZIP, "", 400, "not a gzipped tar archive"),
        (package(fhirVersions=["5.0.0"]), GZIP, "", 400, "this server speaks 4.0.1"),
        (package(), {"content-type": "text/plain"}, "", 415, "application/gzip"),
        (package(), GZIP, "?ignore=true", 400, "ignore"),
        (package(), GZIP, "?ignoreMissing=perhaps", 400, "perhaps"),
        (b'{"resourceType":"Parameters"}', {"content-type": "application/fhir+json"}, "", 400, "needs package"),
        (b'{"resourceType":"Patient"}', {"content-type": "application/fhir+json"}, "", 400, "must be a Binary"),
        (
            b'{"resourceType":"Binary","contentType":"application/gzip"}',
            {"content-type": "application/fhir+json"},
            "",
            400,
            "not a gzipped tar archive",
        ),
    ],
)
def test_what_is_refused(
    http: httpx.Client, content: bytes, headers: dict[str, str], query: str, status: int, text: str
) -> None:
    outcome = outcome_of(http.post(f"/$install-package{query}", content=content, headers=headers), status)
    assert any(text in issue["diagnostics"] for issue in outcome["issue"]), outcome


def test_it_is_called_by_post_on_the_system(http: httpx.Client) -> None:
    outcome_of(http.get("/$install-package"), 405)
    outcome_of(http.post("/Patient/$install-package", json={"resourceType": "Parameters"}), 404)


def test_the_command_line(http: httpx.Client, dsn: str, tmp_path: Any) -> None:
    file = tmp_path / "p.tgz"
    profile = {
        "resourceType": "StructureDefinition",
        "url": "http://example.org/StructureDefinition/account",
        "name": "A",
        "abstract": False,
        "status": "active",
        "kind": "resource",
        "type": "Account",
        "derivation": "constraint",
    }
    file.write_bytes(package(profile, name="cli.example", version="1.0.0", dependencies={"c.d": "1.0.0"}))
    refused = praxis(dsn, "add", str(file))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "praxis: cli.example#1.0.0 needs c.d#1.0.0, which isn't installed.\n"

    done = praxis(dsn, "add", "--ignore-missing", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "cli.example#1.0.0: 1 definitions installed\nmissing: c.d#1.0.0\n"
    everywhere(lambda: supported(http, "Account") == [profile["url"]])
    (line,) = (line for line in praxis(dsn, "list").stdout.splitlines() if "cli.example" in line)
    assert [part in line for part in ("1.0.0", "praxis packages", "c.d#1.0.0")] == [True] * 3

    file.write_bytes(package(profile, name="cli.example", version="2.0.0"))
    assert praxis(dsn, "add", str(file)).returncode == 0
    assert praxis(dsn, "remove", "cli.example#1.0.0").stdout == "removed: cli.example#1.0.0\n"
    everywhere(lambda: supported(http, "Account") == [profile["url"]])
    assert praxis(dsn, "remove", "cli.example").stdout == "removed: cli.example#2.0.0\n"
    everywhere(lambda: supported(http, "Account") == [])
    gone = praxis(dsn, "remove", "cli.example")
    assert (gone.returncode, gone.stderr) == (1, "praxis: there is no package cli.example\n")
    assert praxis(dsn, "add", str(tmp_path / "none.tgz")).stderr.endswith("no such file\n")
    file.write_bytes(b"x")
    assert "not a gzipped tar archive" in praxis(dsn, "add", str(file)).stderr
