"""Reading packages: the real ones, and what may be wrong with others."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.packages import InvalidPackage, Package, find_missing, read_package, satisfies
from conformance.packages.read import MOST_BYTES
from tests.conformance.packages.archives import archive, manifest, package, zeros
from tests.shared import shared


def read(content: bytes) -> Package:
    """Read a package from bytes."""
    return read_package(io.BytesIO(content))


def refusal(content: bytes) -> list[tuple[str, str]]:
    """Return why a package is refused."""
    with pytest.raises(InvalidPackage) as refused:
        read(content)
    return [(issue.code, issue.diagnostics) for issue in refused.value.issues]


def test_us_core() -> None:
    with shared("spec", "us-core", "hl7.fhir.us.core-6.1.0.tgz").open("rb") as file:
        found = read_package(file)
    assert (found.name, found.version, found.skipped) == ("hl7.fhir.us.core", "6.1.0", ())
    assert Counter(d.resource_type for d in found.definitions) == {
        "SearchParameter": 106,
        "StructureDefinition": 59,
        "ValueSet": 36,
        "CodeSystem": 5,
        "CapabilityStatement": 2,
        "ImplementationGuide": 1,
        "OperationDefinition": 1,
    }
    assert find_missing(found.dependencies, []) == [
        "hl7.fhir.uv.bulkdata#2.0.0",
        "hl7.fhir.uv.extensions.r4#1.0.0",
        "hl7.fhir.uv.sdc#3.0.0",
        "hl7.fhir.uv.smart-app-launch#2.1.0",
        "ihe.formatcode.fhir#1.1.0",
        "us.cdc.phinvads#0.12.0",
        "us.nlm.vsac#0.10.0",
    ]


def test_pas_needs_another_version_of_us_core() -> None:
    with shared("spec", "davinci_pas_2.0.1.tgz").open("rb") as file:
        found = read_package(file)
    assert found.skipped == (("Basic-PASSubscriptionTopic.json", "the Basic has no canonical URL"),)
    assert "hl7.fhir.us.core#3.1.1" in find_missing(found.dependencies, [("hl7.fhir.us.core", "6.1.0")])
    assert "hl7.fhir.us.core#3.1.1" not in find_missing(found.dependencies, [("hl7.fhir.us.core", "3.1.1")])


def test_only_the_main_folder_counts() -> None:
    value_set = {"resourceType": "ValueSet", "url": "http://example.org/v", "version": "2", "status": "active"}
    plain = {"resourceType": "ValueSet", "status": "active"}
    body = json.dumps(value_set).encode()
    found = read(
        archive(
            {
                "./package/package.json": json.dumps(manifest()).encode(),
                "package/ValueSet-v.json": json.dumps(value_set, indent=2).encode(),
                "package/example/ValueSet-x.json": body,
                "package/.index.json": b"{}",
                "package/other.txt": b"x",
                "../../etc/passwd.json": body,
                "/package/absolute.json": body,
                "package/../outside.json": body,
                "package/broken.json": b"{",
                "package/list.json": b"[]",
                "package/nameless.json": json.dumps(plain).encode(),
                "package/strange.json": b'{"resourceType":"Nothing","url":"http://example.org/n"}',
                "package/typed.json": b'{"resourceType":["ValueSet"],"url":"http://example.org/n"}',
                "package/barred.json": json.dumps({**plain, "url": "http://example.org/n|1"}).encode(),
                "package/invalid.json": b'{"resourceType":"ValueSet","url":"http://example.org/n"}',
            }
        )
    )
    (definition,) = found.definitions
    assert (definition.resource_type, definition.url, definition.version) == ("ValueSet", "http://example.org/v", "2")
    assert json.loads(definition.content) == value_set
    assert b"\n" not in definition.content
    reasons = dict(found.skipped)
    for name in ("broken.json", "list.json", "strange.json", "typed.json"):
        assert reasons.pop(name).startswith("it is no valid resource of FHIR R4: ")
    assert reasons == {
        "nameless.json": "the ValueSet has no canonical URL",
        "invalid.json": "it is no valid resource of FHIR R4: status is required",
        "barred.json": "its URL is none that can be looked up",
    }


@pytest.mark.parametrize("content", [b"", b"{}", gzip.compress(b""), gzip.compress(b"no tar"), package()[:100]])
def test_what_is_no_archive(content: bytes) -> None:
    ((code, text),) = refusal(content)
    assert code == "structure"
    assert "archive" in text


def test_an_archive_without_a_manifest() -> None:
    assert refusal(archive({"package/x.json": b"{}"})) == [
        ("structure", "The archive has no package/package.json, so it is no FHIR package.")
    ]


def test_all_that_is_wrong_with_a_manifest() -> None:
    assert refusal(package(name="Bad Name!", version="", dependencies=["x"], fhirVersions=["5.0.0"])) == [
        ("value", "package/package.json: name is not that of a package."),
        ("value", "package/package.json: version is not that of a package."),
        ("value", "package/package.json: dependencies is not an object of names and versions."),
        ("not-supported", "The package is for FHIR 5.0.0; this server speaks 4.0.1."),
    ]
    ((_, text),) = refusal(archive({"package/package.json": b"[1]"}))
    assert text == "package/package.json: it is not a JSON object."


def test_a_small_archive_cant_unpack_to_much() -> None:
    content = zeros(MOST_BYTES + (64 << 20))
    assert len(content) < MOST_BYTES / 500
    ((code, text),) = refusal(content)
    assert (code, text) == ("too-long", "The package unpacks to more than 400,000,000 bytes.")


def test_a_single_file_cant_be_huge() -> None:
    ((code, text),) = refusal(archive({"package/x.json": bytes(33_000_000)}))
    assert (code, text) == ("too-long", "package/x.json is larger than 32,000,000 bytes.")


@given(st.binary(max_size=600), st.integers(0, 2000))
def test_damage_is_refused_and_never_raises_anything_else(noise: bytes, at: int) -> None:
    whole = package({"resourceType": "ValueSet", "url": "http://example.org/v"})
    try:
        read(whole[:at] + noise + whole[at + len(noise) :])
    except InvalidPackage as refused:
        assert refused.issues  # noqa: PT017 - refusing is one of two right answers


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("6.1.0", "6.1.0", True),
        ("6.1.0", "6.1.x", True),
        ("6.1.0-ballot", "6.1.0", False),
        ("6.1.0", "6.x", True),
        ("6.1.0", "*", True),
        ("6.1.0", "6.1", False),
        ("6.1.0", "6.2.x", False),
        ("6.1.0", "latest", True),
        ("7.0.0", "6.x", False),
    ],
)
def test_versions(version: str, wanted: str, fits: bool) -> None:
    assert satisfies(version, wanted) is fits


def test_what_comes_with_the_server_is_never_missing() -> None:
    needed = {"hl7.fhir.r4.core": "4.0.1", "hl7.terminology.r4": "5.0.0", "a.b": "1.x"}
    assert find_missing(needed, []) == ["a.b#1.x"]
    assert find_missing(needed, [("a.b", "1.9.3")]) == []
    assert find_missing({"hl7.fhir.r4.core": "5.0.0"}, []) == ["hl7.fhir.r4.core#5.0.0"]
