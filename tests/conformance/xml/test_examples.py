"""Every official example goes to XML and back without a change, digits and narratives included."""

from __future__ import annotations

import tarfile
from decimal import Decimal
from functools import cache

import msgspec
import pytest

from conformance.issues import InvalidResource
from conformance.xml import from_xml, to_xml
from tests.conformance.corpus import EXAMPLES, conformance_examples, official_examples, synthea_bundles
from tests.conformance.xml.digits import digits_of, with_digits
from tests.shared import SHARED, shared

PLAIN = msgspec.json.Decoder(float_hook=Decimal)


@cache
def names() -> list[str]:
    """Return the names of the official examples; none where they are absent."""
    if not SHARED.joinpath(*EXAMPLES).exists():
        return []
    with tarfile.open(SHARED.joinpath(*EXAMPLES)) as files:
        found = (name for name in files.getnames() if name.startswith("examples/") and name.endswith(".json"))
        return sorted(name.removeprefix("examples/").removesuffix(".json") for name in found)


def test_there_are_714_examples() -> None:
    assert len(official_examples()) == 714
    assert names() == sorted(official_examples())


@pytest.mark.parametrize("name", names())
def test_an_official_example_survives_the_way_to_xml_and_back(name: str) -> None:
    body = official_examples()[name]
    resource = PLAIN.decode(body)
    assert digits_of(from_xml(to_xml(resource))) == with_digits(body)
    assert digits_of(from_xml(to_xml(resource, pretty=True))) == with_digits(body)


def test_conformance_examples_survive_the_way_to_xml_and_back() -> None:
    examples = conformance_examples()
    assert len(examples) == 65
    for name, body in examples.items():
        assert digits_of(from_xml(to_xml(PLAIN.decode(body)))) == with_digits(body), name


def test_a_large_bundle_survives_the_way_to_xml_and_back() -> None:
    name, body = min(synthea_bundles().items(), key=lambda item: len(item[1]))
    assert digits_of(from_xml(to_xml(PLAIN.decode(body)))) == with_digits(body), name


# Of the XML files of the validator's suite those that are refused, with each reason; the suite has both for invalid.
REFUSED: dict[str, list[tuple[str | None, str]]] = {
    "Observation-ex-pain.xml": [
        ("Observation.status", "There is no attribute 'something' here (line 3)"),
        ("Observation.value.value", "Element has no element 'value' (line 5)"),
        ("Observation.value", "An element needs a value or extensions (line 6)"),
    ],
    "xml-bad-entities.xml": [
        (None, "Not XML: undefined entity &reg; (XML has only amp, lt, gt, quot and apos; write the character) "),
    ],
}


def test_xml_of_others_is_read_or_refused_with_a_place() -> None:
    files = sorted(shared("suites", "validator", "files").glob("*.xml"))
    assert len(files) == 101
    refused = {}
    for file in files:
        try:
            resource = from_xml(file.read_bytes())
        except InvalidResource as error:
            refused[file.name] = error.issues
        else:
            assert digits_of(from_xml(to_xml(resource))) == digits_of(resource), file.name
    assert refused.keys() == REFUSED.keys()
    for name, reasons in REFUSED.items():
        for issue, (place, diagnostics) in zip(refused[name], reasons, strict=False):
            assert issue.expression == place
            assert issue.diagnostics.startswith(diagnostics)
