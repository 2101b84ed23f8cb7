"""From the value of a FHIRPath Patch's operation to the JSON of an element, https://hl7.org/fhir/R4/fhirpatch.html.

A value of a data type is given as ``value[x]``; one of a type without a name (``Patient.contact``) as parts, each named
like one of its elements.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.fhirpath.model import ancestors, is_primitive
from conformance.patch.errors import inapplicable
from conformance.patch.operations import Given, read_value
from conformance.xml.plan import Field, plan


def choose_field(type_name: str, name: str, part: Mapping[str, Any], where: str) -> Field:
    """Return the field of a type that ``name`` and the value stand for: of a choice, that of the value's type.

    Raises InapplicablePatch when the type has no such element, or none for such a value.
    """
    fields = [f for f in dict.fromkeys(plan(type_name).properties.values()) if name in (f.element, f.name)]
    if not fields:
        raise inapplicable(f"{where}: {type_name} has no element '{name[:60]}'.")
    given = read_value(part)
    fitting = [f for f in fields if _fits(f, given, is_choice=f.element != f.name)]
    if not fitting:
        found = given.type if given is not None else "parts"
        raise inapplicable(f"{where}: {type_name}.{fields[0].element} can't be a value of {found}.")
    return fitting[0]


def _fits(field: Field, given: Given | None, *, is_choice: bool) -> bool:
    if given is None:
        # Parts stand for a type that has no name of its own; a data type has one.
        return field.kind == "object" and not is_choice
    if field.kind == "resource":
        return "Resource" in ancestors(given.type)
    if field.kind == "object":
        return field.type in ancestors(given.type)
    # Without a choice the type is known, so that any primitive may be tried; its format is checked with the resource.
    return given.type == field.type if is_choice else is_primitive(given.type)


def build_value(field: Field, part: Mapping[str, Any], where: str) -> tuple[Any, Any]:
    """Return (value, extra) for a field that :func:`choose_field` chose: its JSON, and the object beside a primitive."""
    given = read_value(part)
    if given is not None:
        if given.extra is not None and field.sibling is None:
            raise inapplicable(f"{where}: {field.element} can't have an id or extensions.")
        return given.value, given.extra
    if not part.get("part"):
        raise inapplicable(f"{where}: there is no value for {field.element}.")
    return _build_object(field.type, part["part"], where), None


def _build_object(type_name: str, parts: list[dict[str, Any]], where: str) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for part in parts:
        field = choose_field(type_name, part["name"], part, where)
        value, extra = build_value(field, part, where)
        if field.is_list:
            count = max(len(built.get(field.name, ())), len(built.get(field.sibling or "", ())))
            _append(built, field.name, value, count)
            if field.sibling is not None:
                _append(built, field.sibling, extra, count)
        elif field.name in built or field.sibling in built:
            raise inapplicable(f"{where}: {type_name}.{field.element} takes one value.")
        else:
            if value is not None:
                built[field.name] = value
            if extra is not None and field.sibling is not None:
                built[field.sibling] = extra
    return built


def _append(built: dict[str, Any], name: str, item: Any, count: int) -> None:
    """Append to an array that has nulls for what is missing, and doesn't exist where all is missing."""
    if item is not None and name not in built:
        built[name] = [None] * count
    if name in built:
        built[name].append(item)
