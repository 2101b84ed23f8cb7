"""What becomes of a differential, by the rules, and what is told of one that breaks them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.decode import check
from conformance.snapshot import Snapshot, generate
from conformance.structures import find_definition

Json = dict[str, Any]
BASE = "http://hl7.org/fhir/StructureDefinition/"


def profile(type_: str, *elements: Json, **more: Any) -> Json:
    """Return a profile of a type with a differential."""
    return {
        "resourceType": "StructureDefinition",
        "url": "http://example.org/a",
        "name": "A",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": BASE + type_,
        "derivation": "constraint",
        **({"differential": {"element": list(elements)}} if elements else {}),
        **more,
    }


def made(structure: Json, *others: Json) -> Snapshot:
    """Return the snapshot of a profile, others being known."""
    known = {other["url"]: other for other in others}
    return generate(structure, lambda kind, url: known.get(url) or find_definition(kind, url))


def elements_of(snapshot: Snapshot) -> dict[str, Json]:
    """Return the elements by id; the snapshot must be valid, and no issue told."""
    assert snapshot.issues == []
    check(snapshot.structure)
    return {element["id"]: element for element in snapshot.structure["snapshot"]["element"]}


def problems(snapshot: Snapshot) -> list[tuple[str, str | None]]:
    """Return what is told, and where."""
    return [(issue.diagnostics, issue.expression) for issue in snapshot.issues]


def test_a_profile_without_a_differential_is_its_base() -> None:
    elements = elements_of(made(profile("Patient")))
    base = find_definition("StructureDefinition", f"{BASE}Patient")
    assert base is not None
    assert list(elements.values()) == base["snapshot"]["element"]


def test_elements_without_ids_belong_to_the_slice_before_them() -> None:
    elements = elements_of(
        made(
            profile(
                "Observation",
                {
                    "path": "Observation.component",
                    "slicing": {"discriminator": [{"type": "pattern", "path": "code"}], "rules": "open"},
                },
                {"path": "Observation.component", "sliceName": "one", "min": 1},
                {"path": "Observation.component.code", "short": "the first"},
                {"path": "Observation.component", "sliceName": "two", "max": "1"},
                {"path": "Observation.component.code.coding.system", "min": 1},
            )
        )
    )
    assert elements["Observation.component:one.code"]["short"] == "the first"
    assert "short" not in elements["Observation.component:two.code"]
    assert "short" not in elements["Observation.component.code"]
    assert elements["Observation.component:two.code.coding.system"]["min"] == 1
    assert "Observation.component:one.code.coding" not in elements
    assert elements["Observation.component:two.code.coding.system"]["base"]["path"] == "Coding.system"


def test_a_slice_of_a_slice_follows_it_and_begins_as_it() -> None:
    slicing = {"discriminator": [{"type": "value", "path": "system"}], "rules": "open"}
    first = profile(
        "Patient",
        {"path": "Patient.identifier", "slicing": slicing},
        {"id": "Patient.identifier:a", "path": "Patient.identifier", "sliceName": "a", "max": "3", "mustSupport": True},
        {"id": "Patient.identifier:b", "path": "Patient.identifier", "sliceName": "b"},
    )
    second = profile(
        "Patient",
        {"id": "Patient.identifier:a", "path": "Patient.identifier", "sliceName": "a", "slicing": slicing},
        {"id": "Patient.identifier:a/x", "path": "Patient.identifier", "sliceName": "a/x", "min": 1},
        url="http://example.org/b",
        baseDefinition="http://example.org/a",
    )
    elements = elements_of(made(second, first))
    names = [id_ for id_ in elements if id_.startswith("Patient.identifier")]
    assert names == ["Patient.identifier", "Patient.identifier:a", "Patient.identifier:a/x", "Patient.identifier:b"]
    inner = elements["Patient.identifier:a/x"]
    assert (inner["min"], inner["max"], inner["mustSupport"]) == (1, "3", True)
    assert "slicing" not in inner


def test_a_slice_doesnt_take_what_the_same_differential_says_of_the_whole() -> None:
    elements = elements_of(
        made(
            profile(
                "Patient",
                {
                    "path": "Patient.name",
                    "slicing": {"discriminator": [{"type": "value", "path": "use"}], "rules": "open"},
                    "mustSupport": True,
                },
                {"path": "Patient.name.family", "min": 1},
                {"path": "Patient.name", "sliceName": "official", "max": "1"},
            )
        )
    )
    assert "Patient.name.family" in elements
    assert "Patient.name:official.family" not in elements
    assert "mustSupport" not in elements["Patient.name:official"]


def test_a_choice_named_by_its_type() -> None:
    elements = elements_of(
        made(
            profile(
                "Observation",
                {"path": "Observation.valueQuantity", "min": 1},
                {"path": "Observation.valueQuantity.code", "min": 1},
            )
        )
    )
    whole, slice_ = elements["Observation.value[x]"], elements["Observation.value[x]:valueQuantity"]
    assert whole["slicing"]["rules"] == "closed"
    assert [t["code"] for t in whole["type"]] == [t["code"] for t in slice_["type"]] == ["Quantity"]
    assert (whole["min"], slice_["min"], slice_["sliceName"], slice_["path"]) == (
        1,
        1,
        "valueQuantity",
        "Observation.value[x]",
    )
    assert elements["Observation.value[x]:valueQuantity.code"]["path"] == "Observation.value[x].code"

    elements = elements_of(made(profile("Observation", {"path": "Observation.valueQuantity", "mustSupport": True})))
    assert len(elements["Observation.value[x]"]["type"]) == 11
    assert elements["Observation.value[x]"]["slicing"]["rules"] == "open"


def test_a_content_reference_is_unfolded() -> None:
    elements = elements_of(
        made(profile("Questionnaire", {"path": "Questionnaire.item.item.item.linkId", "maxLength": 8}))
    )
    assert elements["Questionnaire.item.item.item.linkId"]["maxLength"] == 8
    assert "maxLength" not in elements["Questionnaire.item.linkId"]
    assert elements["Questionnaire.item.item"]["type"] == [{"code": "BackboneElement"}]
    assert "contentReference" not in elements["Questionnaire.item.item.item"]
    assert elements["Questionnaire.item.item.item.item"]["contentReference"] == "#Questionnaire.item"


def test_the_elements_of_a_demanded_profile() -> None:
    strict = profile(
        "Coding", {"path": "Coding.system", "min": 1}, url="http://example.org/strict", kind="complex-type"
    )
    elements = elements_of(
        made(
            profile(
                "Observation",
                {
                    "path": "Observation.code.coding",
                    "type": [{"code": "Coding", "profile": ["http://example.org/strict"]}],
                },
                {"path": "Observation.code.coding.code", "min": 1},
            ),
            strict,
        )
    )
    assert elements["Observation.code.coding.system"]["min"] == 1
    assert elements["Observation.code.coding.code"]["min"] == 1


def test_constraints_add_up_and_name_their_source() -> None:
    rule = {"key": "a-1", "severity": "error", "human": "Has a name", "expression": "name.exists()"}
    elements = elements_of(made(profile("Patient", {"path": "Patient", "constraint": [rule]})))
    base = find_definition("StructureDefinition", f"{BASE}Patient")
    assert base is not None
    assert elements["Patient"]["constraint"] == [
        *base["snapshot"]["element"][0]["constraint"],
        {**rule, "source": "http://example.org/a"},
    ]


def test_a_type_of_ones_own_adds_elements() -> None:
    own = profile(
        "http://example.org/Thing",
        {"path": "Thing", "definition": "A thing"},
        {"path": "Thing.colour", "min": 0, "max": "1", "type": [{"code": "code"}]},
        kind="logical",
        derivation="specialization",
        baseDefinition=f"{BASE}Element",
    )
    elements = elements_of(made(own))
    assert list(elements) == ["Thing", "Thing.id", "Thing.extension", "Thing.colour"]
    assert elements["Thing.colour"]["base"] == {"path": "Thing.colour", "min": 0, "max": "1"}


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ({"path": "Patient.nonsense"}, "Patient.nonsense isn't an element of the base"),
        ({"path": "Patient.name.nonsense.deeper"}, "Patient.name.nonsense isn't an element of the base"),
        ({"path": "Patient.gender", "max": "2"}, "Patient.gender: max 2 is more than the base's 1"),
        ({"path": "Patient.link.other", "min": 0}, "Patient.link.other: min 0 is less than the base's 1"),
        ({"path": "Patient.photo", "min": 2, "max": "1"}, "Patient.photo: min 2 is more than max 1"),
        ({"path": "Patient.photo", "max": "many"}, "Patient.photo: max many is neither a number nor *"),
        (
            {"path": "Patient.photo", "type": [{"code": "Quantity"}]},
            "Patient.photo: type Quantity isn't one of the base's: Attachment",
        ),
        (
            {"path": "Patient.gender", "binding": {"strength": "preferred"}},
            "Patient.gender: a required binding can't become preferred",
        ),
        ({"path": "Patient.name", "sliceName": "x"}, "name has slices but no slicing"),
        (
            {
                "path": "Patient.extension",
                "sliceName": "x",
                "type": [{"code": "Extension", "profile": ["http://example.org/x"]}],
            },
            "there is no StructureDefinition http://example.org/x",
        ),
    ],
)
def test_what_the_base_doesnt_allow_is_told(element: Json, text: str) -> None:
    snapshot = made(profile("Patient", {"path": "Patient"}, element))
    place = "StructureDefinition.differential.element[1]" if "deeper" not in element["path"] else "StructureDefinition"
    assert problems(snapshot) == [(text, place)]
    assert "snapshot" in snapshot.structure


def test_an_element_below_several_types_is_told() -> None:
    snapshot = made(profile("Patient", {"path": "Patient.deceased[x].value", "min": 1}))
    ((text, _),) = problems(snapshot)
    assert text == "Patient.deceased[x]: which type's elements are meant? It may be boolean, dateTime"


def test_bases_that_lead_nowhere_or_in_a_circle() -> None:
    lost = made(profile("Patient", baseDefinition="http://example.org/none"))
    assert problems(lost) == [("there is no StructureDefinition http://example.org/none", "StructureDefinition")]
    assert "snapshot" not in lost.structure

    ((text, _),) = problems(made(profile("Patient", baseDefinition="http://example.org/a")))
    assert text == "http://example.org/a builds on itself: http://example.org/a → http://example.org/a"

    one = profile("Patient", baseDefinition="http://example.org/b")
    two = profile("Patient", url="http://example.org/b", baseDefinition="http://example.org/a")
    ((text, _),) = problems(made(one, one, two))
    assert "http://example.org/a → http://example.org/b → http://example.org/a" in text

    ((text, _),) = problems(made(profile("Patient", {"path": "Observation.code"})))
    assert text == "the differential is about Observation, the base about Patient"

    broken = profile("Patient", url="http://example.org/b", snapshot={"element": [{"path": 1}]})
    ((text, _),) = problems(made(profile("Patient", baseDefinition="http://example.org/b"), broken))
    assert text.startswith("the snapshot of http://example.org/b is broken")


def test_what_would_take_too_long_is_told() -> None:
    deep = profile("Questionnaire", {"path": "Questionnaire" + ".item" * 70})
    assert problems(made(deep)) == [("an element lies more than 60 levels deep", "StructureDefinition")]

    chain = [
        profile("Patient", url=f"http://example.org/{n}", baseDefinition=f"http://example.org/{n + 1}")
        for n in range(50)
    ]
    ((text, _),) = problems(made(chain[0], *chain))
    assert "http://example.org/0 builds on more than 20 others without snapshots" in text

    slices = [{"path": "Bundle.entry", "sliceName": f"s{n}", "id": f"Bundle.entry:s{n}"} for n in range(2_000)]
    slicing = {"discriminator": [{"type": "type", "path": "resource"}], "rules": "open"}
    ((text, _),) = problems(made(profile("Bundle", {"path": "Bundle.entry", "slicing": slicing}, *slices)))
    assert text == "the snapshot would have more than 20,000 elements"

    given = [{"path": "Patient.active"}]
    given += [{"path": "Patient.photo", "sliceName": f"s{n}"} for n in range(5_000)]
    snapshot = made(profile("Patient", {"path": "Patient.photo", "slicing": slicing}, *given))
    assert problems(snapshot) == [("Patient.photo has more than 2,000 slices", "StructureDefinition")]


def test_a_differential_of_the_wrong_shape_is_told_in_full() -> None:
    snapshot = made(profile("Patient", {"path": 1}, {"path": "Patient", "min": "x"}))
    assert {place for _, place in problems(snapshot)} == {
        "StructureDefinition.differential.element[0].path",
        "StructureDefinition.differential.element[1].min",
    }


ELEMENTS = st.fixed_dictionaries(
    {
        "path": st.sampled_from(
            [
                "Patient",
                "Patient.name",
                "Patient.name.given",
                "Patient.deceasedBoolean",
                "Patient.contact.name.use",
                "Patient.extension",
                "Patient.extension.value[x]",
                "Patient.x",
                "Patient..",
                "Patient.link.other.identifier",
            ]
        )
    },
    optional={
        "id": st.sampled_from(
            ["Patient.name:a", "Patient.name:a.given", "Patient", "x", "Patient.deceased[x]:deceasedBoolean"]
        ),
        "sliceName": st.sampled_from(["a", "b", "a/c", "deceasedBoolean"]),
        "min": st.integers(0, 3),
        "max": st.sampled_from(["0", "1", "*", "x", "²"]),
        "type": st.lists(
            st.fixed_dictionaries(
                {"code": st.sampled_from(["string", "Extension", "HumanName", "Nothing"])},
                optional={"profile": st.just(["http://example.org/a"])},
            ),
            min_size=1,
            max_size=2,
        ),
        "contentReference": st.sampled_from(["#Patient.contact", "#x", "http://example.org/none#Patient"]),
    },
)


@settings(max_examples=300, deadline=None)
@given(st.lists(ELEMENTS, max_size=6))
def test_no_differential_raises(elements: list[Json]) -> None:
    structure = profile("Patient", *elements)
    snapshot = made(structure, structure)
    assert "snapshot" in snapshot.structure or snapshot.issues
