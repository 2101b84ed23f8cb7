"""A small code system with all that the engine looks at, and value sets of it."""

from __future__ import annotations

from typing import Any

from conformance.terminology.engine import Terminology
from conformance.terminology.expand import ExpandParameters
from conformance.terminology.source import Resources

Json = dict[str, Any]

ANIMALS = "http://example.org/cs/animals"
SETS = "http://example.org/vs"

CODE_SYSTEM: Json = {
    "resourceType": "CodeSystem", "url": ANIMALS, "version": "1.0.0", "name": "Animals", "status": "active",
    "content": "complete", "language": "en", "caseSensitive": True,
    "property": [
        {"code": "legs", "type": "integer"}, {"code": "pet", "type": "boolean"},
        {"code": "partOf", "uri": "http://hl7.org/fhir/concept-properties#parent", "type": "code"},
    ],
    "concept": [
        {"code": "mammal", "display": "Mammal", "property": [{"code": "notSelectable", "valueBoolean": True}], "concept": [
            {"code": "dog", "display": "Dog", "definition": "Canis familiaris",
             "designation": [{"language": "de", "value": "Hund"}, {"language": "fr-CA", "value": "Chién"}],
             "property": [{"code": "legs", "valueInteger": 4}, {"code": "pet", "valueBoolean": True}],
             "concept": [{"code": "poodle", "display": "Poodle"}]},
            {"code": "cat", "display": "Cat", "designation": [{"language": "de", "value": "Katze"}],
             "property": [{"code": "legs", "valueInteger": 4}, {"code": "pet", "valueBoolean": True}]},
            {"code": "mammoth", "display": "Woolly mammoth", "property": [{"code": "status", "valueCode": "retired"}]}]},
        {"code": "bird", "display": "Bird", "concept": [
            {"code": "owl", "display": "Owl", "property": [{"code": "legs", "valueInteger": 2}]}]},
        {"code": "sphinx", "display": "Sphinx of Thebes", "property": [
            {"code": "partOf", "valueCode": "cat"}, {"code": "partOf", "valueCode": "bird"},
            {"code": "kind", "valueCoding": {"system": "http://example.org/kinds", "code": "myth"}}]},
    ],
}  # fmt: skip
ALL = ["mammal", "dog", "poodle", "cat", "mammoth", "bird", "owl", "sphinx"]


def value_set(name: str, *include: Json, exclude: tuple[Json, ...] = (), **more: Any) -> Json:
    """Return a ValueSet with a compose."""
    compose: Json = {"include": list(include)} | ({"exclude": list(exclude)} if exclude else {})
    return {"resourceType": "ValueSet", "url": f"{SETS}/{name}", "status": "active", "compose": compose} | more


def chosen(name: str, operator: str, value: str) -> Json:
    """Return an include with a filter."""
    return {"system": ANIMALS, "filter": [{"property": name, "op": operator, "value": value}]}


def terminology(*resources: Json) -> Terminology:
    """Return an engine that knows the animals and these resources."""
    return Terminology(Resources((CODE_SYSTEM, *resources)))


def codes(engine: Terminology, value_set: Json | str, **asked: Any) -> list[str]:
    """Return the codes of an expansion, in order, those inside others after them."""
    place: Json = {"url": value_set} if isinstance(value_set, str) else {"value_set": value_set}
    expansion = engine.expand(ExpandParameters(**place, **asked))["expansion"]
    return flat(expansion.get("contains", []))


def flat(contains: list[Json]) -> list[str]:
    """Return the codes in an expansion, depth first."""
    return [code for item in contains for code in (item["code"], *flat(item.get("contains", [])))]


def parameter(parameters: Json, name: str) -> Any:
    """Return the value of the only parameter of a name, None without one."""
    found = [p for p in parameters["parameter"] if p["name"] == name]
    assert len(found) <= 1
    return next((v for p in found for k, v in p.items() if k != "name"), None)
