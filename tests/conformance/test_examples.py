"""Every official example is accepted and kept digit for digit, or refused for a reason in the specification."""

import json
from decimal import Decimal
from typing import Any

import pytest

from conformance.decode import decode, encode
from conformance.issues import InvalidResource
from tests.conformance.corpus import conformance_examples, official_examples, synthea_bundles

REFUSED = {
    # Questionnaire.item.linkId is 1..1; this example gives it for no inner item, nor an extension in its place.
    "Questionnaire-qs1": {"required": 32},
}


def parse(body: bytes) -> Any:
    """Parse with the standard library, keeping each number's digits and the order of properties apart from msgspec."""
    return json.loads(body, parse_float=lambda digits: Decimal(digits).as_tuple(), object_pairs_hook=list)


def refused(examples: dict[str, bytes]) -> dict[str, dict[str, int]]:
    """Decode all; return issue counts by code of those refused; assert that the others survive a round trip."""
    out: dict[str, dict[str, int]] = {}
    for name, body in examples.items():
        try:
            resource = decode(body)
        except InvalidResource as e:
            counts = out.setdefault(name, {})
            for issue in e.issues:
                assert issue.expression is not None, name
                counts[issue.code] = counts.get(issue.code, 0) + 1
        else:
            assert parse(encode(resource)) == parse(body), name
    return out


def test_official_examples_are_accepted_or_refused_for_the_listed_reasons() -> None:
    examples = official_examples()
    assert len(examples) == 714
    assert refused(examples) == REFUSED


def test_every_issue_of_the_refused_example_names_its_item() -> None:
    with pytest.raises(InvalidResource) as error:
        decode(official_examples()["Questionnaire-qs1"])
    assert error.value.issues[0].expression == "Questionnaire.item[0].item[0].linkId"
    assert all(str(i.expression).endswith("].linkId") for i in error.value.issues)


def test_conformance_examples_are_accepted() -> None:
    examples = conformance_examples()
    assert len(examples) == 65
    assert refused(examples) == {}


def test_synthea_bundles_are_accepted_and_survive_a_round_trip() -> None:
    bundles = synthea_bundles()
    assert len(bundles) == 76
    entries = 0
    for name, body in bundles.items():
        bundle = decode(body, "Bundle")
        entries += len(bundle["entry"])
        assert decode(encode(bundle)) == bundle, name
    assert entries == 16993
