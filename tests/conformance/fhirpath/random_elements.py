"""Random elements of a FHIR type as JSON, drawn towards what a constraint looks at."""

from __future__ import annotations

import random
import re
from typing import Any

from conformance.definitions import types
from conformance.fhirpath.model import is_primitive

_WORD = re.compile(r"[A-Za-z]+")
_TEXT = re.compile(r"'([^']*)'")
_VALUES: dict[str, tuple[Any, ...]] = {
    "boolean": (True, False),
    "integer": (0, 1, 5),
    "positiveInt": (1, 2),
    "unsignedInt": (0, 1),
    "decimal": (0, 1.5, 200),
    "date": ("2020", "2020-01", "2020-01-01", "2021-05-06"),
    "dateTime": ("2020", "2020-01-01", "2020-01-01T10:00:00Z", "2020-01-01T10:00:00+02:00", "2020-01-01T10:00:00.5Z"),
    "instant": ("2020-01-01T10:00:00Z", "2021-01-01T10:00:00+02:00", "2021-01-01T09:59:00.001Z"),
    "time": ("10:00:00", "11:30:00"),
    "xhtml": ('<div xmlns="http://www.w3.org/1999/xhtml">x</div>', "<div>"),
}
_COMPANIONS: tuple[dict[str, Any], ...] = (
    {"id": "x"},
    {"extension": [{"url": "http://x", "valueString": "y"}]},
    {"id": "x", "extension": [{"url": "http://x"}]},
)


def random_element(type_name: str, expression: str, seed: int) -> dict[str, Any]:
    """Return an element of a complex type: elements that ``expression`` names are likely, and its texts are values."""
    return _Draw(expression, seed).element(type_name, 3)


class _Draw:
    def __init__(self, expression: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.named = set(_WORD.findall(expression))
        self.texts = ("a", "A", "#a", "#", "http://unitsofmeasure.org", *_TEXT.findall(expression))

    def element(self, type_name: str, depth: int) -> dict[str, Any]:
        definition = types()[type_name]
        value: dict[str, Any] = {"resourceType": type_name} if definition.kind == "resource" else {}
        for element in definition.elements.values():
            if self.random.random() > (0.6 if element.name in self.named else 0.03):
                continue
            key, child = self.random.choice(element.json_names)
            if not is_primitive(child):
                many = self.random.randint(1, 3) if element.is_list else 1
                found = [v for v in (self.complex(child, depth) for _ in range(many)) if v]
                if found:
                    value[key] = found if element.is_list else found[0]
            elif element.is_list:
                self.primitives(value, key, child)
            else:
                self.primitive(value, key, child)
        return value

    def complex(self, type_name: str, depth: int) -> dict[str, Any] | None:
        if depth == 0:
            return None
        if type_name == "Resource":
            type_name = self.random.choice(["Patient", "Composition", "MessageHeader", "Basic"])
        return self.element(type_name, depth - 1)

    def plain(self, type_name: str) -> Any:
        return self.random.choice(_VALUES.get(type_name, self.texts))

    def primitive(self, value: dict[str, Any], key: str, type_name: str) -> None:
        has_companion = type_name != "xhtml" and self.random.random() < 0.15
        if not has_companion or self.random.random() < 0.5:
            value[key] = self.plain(type_name)
        if has_companion:
            value["_" + key] = self.random.choice(_COMPANIONS)

    def primitives(self, value: dict[str, Any], key: str, type_name: str) -> None:
        values = [self.plain(type_name) for _ in range(self.random.randint(1, 3))]
        if self.random.random() < 0.15:
            companions = [self.random.choice([None, *_COMPANIONS]) for _ in values]
            value["_" + key] = companions
            values = [
                v if c is None or self.random.random() < 0.5 else None for v, c in zip(values, companions, strict=True)
            ]
        value[key] = values
