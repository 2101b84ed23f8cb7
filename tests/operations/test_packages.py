"""Who may install packages, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.decode import decode
from fhir_server.auth.caller import ALL_INTERACTIONS, Caller, Grant, anonymous
from fhir_server.errors import FhirError, Forbidden
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Request, parse_target
from fhir_server.interactions.run import run
from tests.conformance.packages.archives import package
from tests.operations.conftest import Clinic

Resource = dict[str, Any]
URL = "http://example.org/StructureDefinition/p"
PROFILE: Resource = {
    "resourceType": "StructureDefinition",
    "url": URL,
    "version": "1",
    "name": "P",
    "abstract": False,
    "status": "active",
    "kind": "resource",
    "type": "Patient",
    "derivation": "constraint",
}
VALUE_SET: Resource = {"resourceType": "ValueSet", "url": "http://example.org/v", "status": "active"}
OPERATE = Grant(interactions=frozenset(("operation",)))


def caller(*grants: Grant, tenant: int = 1) -> Caller:
    """Return a caller with grants."""
    return Caller("someone", tenant, grants)


def create(resource_type: str, *criteria: tuple[str, str]) -> Grant:
    """Return a grant to create."""
    return Grant(resource_type, frozenset(("create",)), criteria)


def install(clinic: Clinic, who: Caller, content: bytes) -> Resource:
    """Install a package."""
    request = Request(parse_target("POST", "$install-package"), body=content, media_type="application/gzip")

    async def act(context: Context) -> Resource:
        return decode((await run(context, request)).content or b"")

    return clinic.work(who, act)


@pytest.mark.parametrize(
    "grants",
    [
        (create("*"),),
        (OPERATE,),
        (OPERATE, create("StructureDefinition")),
        (OPERATE, create("StructureDefinition"), create("ValueSet", ("status", "draft"))),
    ],
)
def test_it_takes_grants_for_all_that_it_brings(clinic: Clinic, grants: tuple[Grant, ...]) -> None:
    with pytest.raises(Forbidden):
        install(clinic, caller(*grants), package(PROFILE, VALUE_SET))


def test_grants_for_its_types_are_enough(clinic: Clinic) -> None:
    grants = (OPERATE, create("StructureDefinition"), create("ValueSet"))
    done = install(clinic, caller(*grants, tenant=5), package(PROFILE, VALUE_SET))
    assert done["parameter"][2] == {"name": "resources", "valueUnsignedInt": 2}


def test_packages_are_the_tenants_own(clinic: Clinic) -> None:
    everything = Grant(interactions=ALL_INTERACTIONS)
    mine, theirs = caller(everything, tenant=7), caller(everything, tenant=8)
    install(clinic, mine, package(PROFILE))
    search = f"StructureDefinition?url={URL}"
    assert [e["fullUrl"] for e in clinic.get(mine, search)["entry"]] == [URL]
    assert "entry" not in clinic.get(theirs, search)
    assert "implementationGuide" not in clinic.get(theirs, "metadata")


def test_who_may_see_only_some_definitions_isnt_shown_those_of_packages(clinic: Clinic) -> None:
    install(clinic, caller(Grant(), tenant=9), package(PROFILE))
    some = Grant("StructureDefinition", frozenset(("search", "read")), (("status", "active"),))
    assert "entry" not in clinic.get(caller(some, tenant=9), f"StructureDefinition?url={URL}")


def test_a_parameter_that_means_something_else_is_left_aside(clinic: Clinic) -> None:
    parameter: Resource = {
        "resourceType": "SearchParameter",
        "url": "http://example.org/p",
        "name": "P",
        "status": "active",
        "description": "Not what gender means",
        "code": "gender",
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.language",
    }
    added = {**parameter, "url": "http://example.org/q", "code": "tongue"}
    draft = {**parameter, "url": "http://example.org/r", "code": "other", "status": "retired"}
    done = install(clinic, caller(Grant(), tenant=11), package(parameter, added, draft))
    found = [p["valueUri"] for p in done["parameter"] if p["name"] == "searchParameter"]
    assert found == ["http://example.org/q"]
    types = [p["valueCode"] for p in done["parameter"] if p["name"] == "reindexed"]
    assert types == ["Patient"]


def test_a_failed_installation_leaves_nothing(clinic: Clinic) -> None:
    with pytest.raises(FhirError):
        install(clinic, anonymous(), package(PROFILE, dependencies={"x.y": "1.0.0"}))
    assert "entry" not in clinic.get(anonymous(), f"StructureDefinition?url={URL}")
