"""The 131 cases of the official validator suite: whether a resource is valid, with and without the profile of the case.

The suite was made for another validator, whose options some of the cases set; these are given here as a policy.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conformance.terminology.source import Find
from conformance.validation import Policy, Validator, has_errors
from conformance.validation.reading import read
from tests.shared import SHARED

SUITE = SHARED / "suites" / "validator"
TEST = "http://hl7.org/fhir/test/StructureDefinition/"

POLICIES = {
    "json-comments-1-yes": Policy(comments=True),
    "dr-example-org": Policy(example_urls=False),
    "pat-security-bad-string": Policy(markup=False),
    "bad-markdown-no-html": Policy(markup=False),
    "type-ref-unchecked": Policy(reference_types=False),
    "contained-resource-bad-id-ignore": Policy(overlook=frozenset(("id", "dom-3"))),
    "patient-ig-good": Policy(profiles={"Patient": (f"{TEST}patient-ig-sd",)}),
    "patient-ig-bad": Policy(profiles={"Patient": (f"{TEST}patient-ig-sd",)}),
    "bundle-bad-by-param": Policy(profiles={"Patient": (f"{TEST}parameters-profiled-resource-profiles-patient",)}),
}

DISAGREEMENTS = {
    "parameters-reference-bad": (
        "expects an error for a relative reference to a Patient that is none of the parameters. R4 does not say that"
        " relative references in Parameters have to be resolved within it: they may mean resources of the server."
    ),
    "questionnaireResponse-enableWhenEx-test-fail": (
        "the question is disabled by an expression in a vendor's extension (phr.kanta.fi), whose definition is not"
        " part of the case; FHIR's own enableWhen is checked."
    ),
    "sdoh-type-slice": "expects a wrong display of LOINC 88123-5 to be an error; LOINC's displays are not at hand.",
}


def cases() -> list[dict[str, Any]]:
    path = SUITE / "cases.json"
    found: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else []
    return found


def load(name: str) -> dict[str, Any]:
    resource = read((SUITE / "files" / name).read_bytes()).resource
    assert isinstance(resource, dict), name
    return resource


def finder(names: list[str]) -> Find:
    """Return a ``Find`` over files of the suite; a version may be cut short (``0.2`` is 0.2.1), as the suite expects."""
    known = [load(name) for name in names]

    def find(resource_type: str, canonical: str) -> dict[str, Any] | None:
        url, _, version = canonical.partition("|")
        for resource in known:
            own = str(resource.get("version", ""))
            if (resource["resourceType"], resource.get("url")) == (resource_type, url) and (
                not version or own == version or own.startswith(f"{version}.")
            ):
                return resource
        return None

    return find


@cache
def judged() -> dict[str, bool]:
    """Return whether we agree with each case, by name."""
    return {case["name"]: agrees(case) for case in cases()}


def agrees(case: dict[str, Any]) -> bool:
    source = (SUITE / "files" / case["file"]).read_bytes()
    policy = POLICIES.get(case["name"], Policy())
    supporting, wanted = list(case["supporting"]), case["profile"]
    verdicts = []
    if wanted is None or case["base_errors"] is not None:
        found = Validator(finder(supporting), policy=policy).validate_text(source)
        verdicts.append((has_errors(found), bool(case["base_errors"])))
    if wanted is not None:
        known = finder([*supporting, wanted["source"], *wanted["supporting"]])
        profiles = [load(wanted["source"])["url"]]
        found = Validator(known, policy=policy).validate_text(source, profiles=profiles)
        verdicts.append((has_errors(found), bool(wanted["errors"])))
    return all(ours == theirs for ours, theirs in verdicts)


@pytest.mark.skipif(not Path(SUITE).exists(), reason=f"shared data not found: {SUITE}")
@pytest.mark.parametrize("name", [case["name"] for case in cases()])
def test_validity_is_what_the_case_says_or_a_listed_disagreement(name: str) -> None:
    assert judged()[name] is (name not in DISAGREEMENTS)


@pytest.mark.skipif(not Path(SUITE).exists(), reason=f"shared data not found: {SUITE}")
def test_128_of_131_cases_agree() -> None:
    assert len(judged()) == 131
    assert sum(judged().values()) == 128
    assert {name for name, agreed in judged().items() if not agreed} == DISAGREEMENTS.keys()
