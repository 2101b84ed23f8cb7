"""The thorough check of a resource: every issue, each with its FHIRPath, https://hl7.org/fhir/R4/json.html.

Slower than the models by far, so :mod:`conformance.decode` comes here only when these refuse a resource or when
something caught its eye that they cannot judge. Both follow the same rules; a property test holds them together.
"""

from __future__ import annotations

import re
from typing import Any

from conformance.definitions import Element, resource_types, types
from conformance.issues import Issue
from conformance.primitives import describe, find_fault
from conformance.shape import MAX_DEPTH, Property, bound_codes, bound_concepts, is_primitive, properties, property_names

_ABSENT: Any = object()
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_RESOURCES = frozenset(resource_types())


class DuplicatedObject(dict[str, Any]):
    """A JSON object in which properties occurred more than once: the last of each, and the names."""

    duplicates: tuple[str, ...] = ()


def walk(resource: Any) -> list[Issue]:
    """Return every issue of a parsed resource, in document order of the definitions; empty when it conforms.

    Numbers with fraction or exponent must be Decimals. Objects may be :class:`DuplicatedObject`.
    """
    found = _Walk()
    found.check_resource(resource, None, 1)
    return found.issues


def step(path: str, name: str) -> str:
    """Append a property to a FHIRPath expression, quoted where it is no identifier."""
    if _IDENTIFIER.fullmatch(name):
        return f"{path}.{name}"
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"{path}.`{escaped}`"


class _Walk:
    """One traversal; ``issues`` grows as it proceeds."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []

    def report(self, code: str, diagnostics: str, path: str | None) -> None:
        self.issues.append(Issue("error", code, diagnostics, path))

    def check_resource(self, value: Any, path: str | None, depth: int, *, contained: bool = False) -> None:
        """Check a whole resource; ``path`` is None for the outermost, whose path is its type."""
        if not isinstance(value, dict):
            self.report("structure", f"Expected a resource, found {describe(value)}", path)
            return
        name = value.get("resourceType", _ABSENT)
        if name is _ABSENT:
            self.report("structure", "The resource has no resourceType", path)
        elif not isinstance(name, str) or name not in _RESOURCES:
            self.report("structure", f"Not a FHIR R4 resource type: {describe(name)}", path)
        else:
            path = path or name
            if contained and "contained" in value:
                self.report("invariant", "A contained resource may not contain others", step(path, "contained"))
            self.check_object(value, name, path, depth)

    def check_object(self, value: Any, type_name: str, path: str, depth: int, *, id_suffices: bool = False) -> None:
        """Check an object against a complex, backbone or resource type."""
        if not isinstance(value, dict):
            self.report("structure", f"Expected an object ({type_name}), found {describe(value)}", path)
            return
        if depth > MAX_DEPTH:
            self.report("structure", f"Elements are nested more than {MAX_DEPTH} levels deep", path)
            return
        is_resource = types()[type_name].kind == "resource"
        if not is_resource and (not value or (not id_suffices and value.keys() == {"id"})):
            self.report("structure", "An element needs content besides its id", path)
        if isinstance(value, DuplicatedObject):
            for name in value.duplicates:
                self.report("structure", f"The property {describe(name)} occurs more than once", step(path, name))
        known = property_names(type_name)
        for name in value:
            if name not in known and not (is_resource and name == "resourceType"):
                self.report("structure", f"{type_name} has no property {describe(name)}", step(path, name))
        for element in types()[type_name].elements.values():
            self.check_element(value, type_name, element, path, depth)

    def check_element(self, owner: dict[str, Any], type_name: str, element: Element, path: str, depth: int) -> None:
        """Check one element of an object: presence, choice, then its content."""
        group = properties(type_name)[element.name]
        present = [p for p in group if p.name in owner or (p.sibling and p.sibling in owner)]
        here = step(path, element.name)
        if not present and element.min:
            self.report("required", f"{element.name} is required", here)
        if len(present) > 1:
            names = ", ".join(p.name for p in present)
            self.report("structure", f"Only one of {names} is allowed", here)
        if type_name == "Extension" and element.choice and bool(present) == ("extension" in owner):
            self.report("invariant", "An extension has either a value or extensions, not both or neither (ext-1)", path)
        for p in present:
            if is_primitive(p.type):
                self.check_primitive(owner, p, element, here, depth)
            else:
                self.check_values(owner[p.name], p.type, element, here, depth)

    def check_values(self, value: Any, type_name: str, element: Element, path: str, depth: int) -> None:
        """Check an element of a complex type, or an array of them."""
        values = self.items(value, element, path)
        for index, item in enumerate(values):
            here = f"{path}[{index}]" if element.is_list else path
            if type_name == "Resource":
                self.check_resource(item, here, depth + 1, contained=element.name == "contained")
            else:
                self.check_object(item, type_name, here, depth + 1)
                self.check_concept(item, element, here)

    def items(self, value: Any, element: Element, path: str) -> list[Any]:
        """Return the values of an element; report an array in place of a single value, and the reverse."""
        if not element.is_list:
            if isinstance(value, list):
                self.report("structure", f"{element.name} takes one value, found an array", path)
                return []
            return [value]
        if not isinstance(value, list):
            self.report("structure", f"{element.name} is an array, found {describe(value)}", path)
            return []
        if not value:
            self.report("structure", "An array may not be empty", path)
        return value

    def check_concept(self, value: Any, element: Element, path: str) -> None:
        """Check a required binding of a CodeableConcept: if it has codings, one is from the value set."""
        concepts = bound_concepts(element.required)
        codings = value.get("coding") if isinstance(value, dict) else None
        if concepts is None or element.types != ("CodeableConcept",) or not isinstance(codings, list) or not codings:
            return
        for coding in codings:
            if isinstance(coding, dict):
                system, code = coding.get("system"), coding.get("code")
                if isinstance(system, str) and isinstance(code, str) and (system, code) in concepts:
                    return
        self.report("code-invalid", f"No coding is from the required value set {element.required}", path)

    def check_primitive(self, owner: dict[str, Any], p: Property, element: Element, path: str, depth: int) -> None:
        """Check a primitive element together with the sibling that carries its id and extensions."""
        value = owner.get(p.name, _ABSENT)
        extra = owner.get(p.sibling, _ABSENT) if p.sibling else _ABSENT
        if not element.is_list:
            for given in (value, extra):
                if isinstance(given, list):
                    self.items(given, element, path)
                    return
            self.check_value((value, extra), element, p.type, path, depth)
            return
        values = None if value is _ABSENT else self.items(value, element, path)
        extras = None if extra is _ABSENT else self.items(extra, element, path)
        if values == [] or extras == []:
            return
        if values is not None and extras is not None and len(values) != len(extras):
            self.report("structure", f"{p.name} and {p.sibling} differ in length; pad with null", path)
        for index in range(max(len(values or ()), len(extras or ()))):
            pair = (_item(values, index), _item(extras, index))
            here = f"{path}[{index}]"
            if pair == (_ABSENT, _ABSENT):
                self.report("structure", "null stands for nothing here: neither value nor extension", here)
            else:
                self.check_value(pair, element, p.type, here, depth)

    def check_value(self, pair: tuple[Any, Any], element: Element, type_name: str, path: str, depth: int) -> None:
        """Check one primitive value and the object beside it, each of which may be absent."""
        value, extra = pair
        if value is not _ABSENT:
            fault = find_fault(type_name, value)
            codes = bound_codes(element.required) if type_name == "code" else None
            if fault is not None:
                self.report(*fault, path)
            elif codes is not None and value not in codes:
                diagnostics = f"{describe(value)} is not in the required value set {element.required}"
                self.report("code-invalid", diagnostics, path)
        if extra is not _ABSENT:
            # Beside a value, an id needs no extension.
            self.check_object(extra, "Element", path, depth + 1, id_suffices=value is not _ABSENT)


def _item(values: list[Any] | None, index: int) -> Any:
    """Return an item of a primitive array; absent where the array is, is shorter or says null."""
    return _ABSENT if values is None or index >= len(values) or values[index] is None else values[index]
