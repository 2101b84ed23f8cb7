"""The generated models cover every type, and count the properties of each choice correctly."""

import msgspec
import pytest

from conformance.definitions import resource_types, types
from conformance.models import decoder, structs
from conformance.shape import properties, property_names

CHOICES = [(t.name, e.name) for t in types().values() for e in t.elements.values() if e.choice and t.name in structs()]


def test_every_complex_backbone_and_concrete_resource_type_has_a_model() -> None:
    expected = {t.name for t in types().values() if t.kind != "primitive" and not (t.kind == "resource" and t.abstract)}
    assert set(structs()) == expected
    assert len(resource_types()) == 146


@pytest.mark.parametrize("name", sorted(structs()))
def test_a_model_has_the_properties_of_its_type(name: str) -> None:
    assert set(structs()[name].__struct_fields__) == property_names(name)


@pytest.mark.parametrize(("name", "choice"), CHOICES)
def test_a_model_refuses_two_types_of_a_choice_and_takes_each_alone(name: str, choice: str) -> None:
    model, groups = structs()[name], properties(name)
    # Everything required is there; the rules between properties do not look at its type.
    elements = [e for e in types()[name].elements.values() if e.min and e.name != choice]
    present = {groups[e.name][0].name: [1] if e.is_list else 1 for e in elements}
    first, *others = groups[choice]
    for p in others:
        with pytest.raises(ValueError, match="more than one type"):
            model(**present, **{first.name: 1, p.name: 1})
    for p in groups[choice]:
        assert getattr(model(**present, **{p.name: 1}), p.name) == 1
        if p.sibling:
            assert getattr(model(**present, **{p.name: 1, p.sibling: 1}), p.sibling) == 1
    if types()[name].elements[choice].min:
        with pytest.raises(ValueError, match="is missing"):
            model(**present)


@pytest.mark.parametrize("name", resource_types())
def test_a_decoder_refuses_another_resource_type_and_unknown_properties(name: str) -> None:
    other = "Patient" if name != "Patient" else "Observation"
    for body in (f'{{"resourceType":"{other}"}}', f'{{"resourceType":"{name}","foo":1}}'):
        with pytest.raises(msgspec.ValidationError):
            decoder(name).decode(body)
