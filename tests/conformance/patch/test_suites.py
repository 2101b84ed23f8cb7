"""The official patch cases: JSON Patch 16, FHIRPath Patch 33, XML Patch 29."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree.ElementTree import canonicalize

import pytest

from conformance.issues import InvalidResource
from conformance.patch import InapplicablePatch, MalformedPatch, apply_patch
from conformance.patch.json_patch import apply_json_patch
from conformance.patch.xml_patch import patch_document
from conformance.xml import from_xml
from tests.conformance.patch.suites import XmlCase, json_cases, xml_cases
from tests.shared import shared

JSON = json_cases()
FHIRPATH = xml_cases("fhir-patch-tests.xml", "input", "diff", "output", "error")
XML = xml_cases("xml-patch-tests.xml", "target", "patch", "patched", "error")


def test_all_cases_are_here() -> None:
    shared("suites", "patch")
    assert (len(JSON), len(FHIRPATH), len(XML)) == (16, 33, 29)
    assert sum("error" in case for case in JSON) == 4
    assert sum("error" in case.sections for case in FHIRPATH) == 1
    assert sum("error" in case.sections for case in XML) == 4


@pytest.mark.parametrize("case", JSON, ids=lambda case: case["comment"])
def test_json_patch(case: dict[str, Any]) -> None:
    before, patch = case["doc"], json.dumps(case["patch"]).encode()
    if "error" in case:
        with pytest.raises(InapplicablePatch):
            apply_json_patch(before, patch)
    else:
        # The cases' documents are no resources, so they go below the media types.
        assert apply_json_patch(before, patch) == case["expected"]


def comparable(resource: Any) -> Any:
    """Return a resource with its narrative's markup in canonical form: one case writes the same text otherwise."""
    text = resource.get("text", {})
    return {**resource, "text": {**text, "div": canonicalize(text["div"])}} if text else resource


@pytest.mark.parametrize("case", FHIRPATH, ids=lambda case: case.name)
def test_fhirpath_patch(case: XmlCase) -> None:
    before = from_xml(case.sections["input"])
    if "error" in case.sections:
        with pytest.raises(InapplicablePatch):
            apply_patch(before, case.sections["diff"], "application/fhir+xml")
        return
    after = apply_patch(before, case.sections["diff"], "application/fhir+xml")
    assert comparable(after) == comparable(from_xml(case.sections["output"]))
    assert before == from_xml(case.sections["input"])


# What kind of refusal each erroneous case is.
REFUSALS = {
    "Missing patch operation": MalformedPatch,
    "Missing target document": InvalidResource,  # a resource that is no document can't occur on the server
    "Remove Element - error": InapplicablePatch,
    "Remove Element - NS error": InapplicablePatch,
}


@pytest.mark.parametrize("case", XML, ids=lambda case: case.name)
def test_xml_patch(case: XmlCase) -> None:
    # The targets are no resources (their root is <doc>), so they go below the media types.
    target, patch = case.sections["target"], b'<patch xmlns="http://hl7.org/fhir">%s</patch>' % case.sections["patch"]
    if "error" in case.sections:
        with pytest.raises(REFUSALS[case.name]) as refused:
            patch_document(target, patch)
        assert refused.type is REFUSALS[case.name]
        return
    after = patch_document(target, patch)
    expected = case.sections["patched"]
    assert canonical(after) == canonical(expected)
    # What the canonical form leaves out: declarations of prefixes that nothing uses.
    assert declarations(after) == declarations(expected)


def canonical(document: bytes) -> str:
    return canonicalize(document.decode(), strip_text=True, with_comments=True)


def declarations(document: bytes) -> list[str]:
    return re.findall(r"xmlns:\w+=\"[^\"]*\"", document.decode())
