"""The official examples conform to FHIR 4.0.1, but for those that violate a rule; these are listed with what is wrong."""

from collections import Counter

from conformance.validation import Validator
from tests.conformance.corpus import conformance_examples, official_examples, synthea_bundles

VIOLATIONS = {
    # The narrative is a div with nothing but whitespace in it.
    "ActivityDefinition-blood-tubes-supply": {"txt-2": 1},
    "ActivityDefinition-heart-valve-replacement": {"txt-2": 1},
    "EventDefinition-example": {"txt-2": 1},
    "Questionnaire-zika-virus-exposure-assessment": {"txt-2": 1},
    # The fullUrl ends in another id than that of the resource, or names another type.
    "Bundle-10bb101f-a121-4264-a920-67be9cb82c74": {"bdl-fullurl": 1},
    "Bundle-3a0707d3-549e-4467-b8b8-5a2ab3800efe": {"bdl-fullurl": 1},
    "Bundle-lri-example": {"bdl-fullurl": 16},
    # References to types that the element doesn't allow.
    "DeviceMetric-example": {"reference": 1},
    "DeviceUseStatement-example": {"reference": 1},
    "MedicationRequest-medrx0301": {"reference": 1},
    "Observation-clinical-gender": {"reference": 1},
    # The hash is not that of the data.
    "DiagnosticReport-example-pgx": {"att-hash": 1},
    # linkId is missing.
    "Questionnaire-qs1": {"linkId is required": 32},
}

CONFORMANCE_VIOLATIONS = {
    # The type of a search parameter is not that of its definition.
    "CapabilityStatement-base": {"searchparam-type": 3},
    "CapabilityStatement-knowledge-repository": {"searchparam-type": 5},
    "CapabilityStatement-measure-processor": {"searchparam-type": 1},
    "CapabilityStatement-terminology-server": {"searchparam-type": 3},
}


def violations(examples: dict[str, bytes]) -> dict[str, dict[str, int]]:
    """Return the errors of each example that has any, counted by the key of the rule."""
    found = Validator(lambda _type, _canonical: None)
    out: dict[str, dict[str, int]] = {}
    for name, body in examples.items():
        errors = [i for i in found.validate_text(body) if i.severity in ("error", "fatal")]
        for issue in errors:
            assert issue.expression is not None
            assert issue.line is not None
            assert issue.column is not None
        if errors:
            out[name] = dict(Counter(i.diagnostics.rpartition("(")[2].rstrip(")") for i in errors))
    return out


def test_the_714_examples_conform_but_for_the_listed_violations() -> None:
    examples = official_examples()
    assert len(examples) == 714
    assert violations(examples) == VIOLATIONS


def test_the_65_examples_of_conformance_resources_conform_but_for_the_listed_violations() -> None:
    examples = conformance_examples()
    assert len(examples) == 65
    assert violations(examples) == CONFORMANCE_VIOLATIONS


def test_synthea_bundles_conform() -> None:
    few = dict(sorted(synthea_bundles().items())[:5])
    assert len(few) == 5
    assert violations(few) == {}
