"""FHIRPath Patch, https://hl7.org/fhir/R4/fhirpatch.html."""

from __future__ import annotations

from typing import Any

from conformance.fhirpath import FHIRPathError, FHIRPathSyntaxError
from conformance.patch.build import build_value, choose_field
from conformance.patch.errors import inapplicable, malformed
from conformance.patch.json_patch import copy_json
from conformance.patch.operations import Operation, parse_operations, read_json, read_xml
from conformance.patch.places import Place, children, find_places
from conformance.xml.plan import Field


def apply_fhirpath_json(resource: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the resource patched by a Parameters resource in JSON. Raises MalformedPatch and InapplicablePatch."""
    return apply_parameters(resource, read_json(body))


def apply_fhirpath_xml(resource: dict[str, Any], body: bytes) -> dict[str, Any]:
    """Return the resource patched by a Parameters resource in XML. Raises MalformedPatch and InapplicablePatch."""
    return apply_parameters(resource, read_xml(body))


def apply_parameters(resource: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the patched resource; ``resource`` stays as it is. Operations see what those before them have done."""
    operations = parse_operations(parameters)
    patched: dict[str, Any] = copy_json(resource)
    for number, operation in enumerate(operations):
        _run(operation, patched, f"Operation {number} ({operation.type} {operation.path[:200]})")
    return patched


def _run(operation: Operation, resource: dict[str, Any], where: str) -> None:
    places = _find(operation, resource, where)
    match operation.type:
        case "add":
            _add(_only(places, where), operation, where)
        case "insert":
            _insert(_whole_list(places, where), operation, where)
        case "delete":
            # An element that isn't there is as good as deleted.
            if places:
                _delete(_only(places, where), where)
        case "replace":
            _replace(_only(places, where), operation, where)
        case "move":
            _move(_whole_list(places, where), operation, where)


def _find(operation: Operation, resource: dict[str, Any], where: str) -> list[Place]:
    try:
        return find_places(operation.path, resource)
    except FHIRPathSyntaxError as error:
        raise malformed(f"{where}: the path is no FHIRPath: {error}", operation.expression, code="value") from error
    except FHIRPathError as error:
        raise inapplicable(f"{where}: {error}") from error


def _only(places: list[Place], where: str) -> Place:
    """Return the one place that a path has to select."""
    if not places:
        raise inapplicable(f"{where}: the path selects nothing.")
    if len(places) > 1:
        raise inapplicable(f"{where}: the path selects {len(places)} elements, not one.", places[0].expression)
    return places[0]


def _whole_list(places: list[Place], where: str) -> list[Place]:
    """Return the places if they are one list of the resource, with all its items in order."""
    if not places:
        raise inapplicable(f"{where}: the path selects nothing.")
    first = places[0]
    if first.owner is None or first.index is None:
        raise inapplicable(f"{where}: the path selects no list.", first.expression)
    siblings = [(p.key, p.index) for p in children(first.owner, first.element)]
    if [(p.key, p.index) for p in places] != siblings or any(p.owner is not first.owner for p in places):
        raise inapplicable(f"{where}: the path selects something else than one whole list.", first.expression)
    return places


def _add(place: Place, operation: Operation, where: str) -> None:
    if place.type_name is None or operation.value is None:
        raise inapplicable(f"{where}: nothing can be added here.", place.expression)
    primitive = not isinstance(place.value, dict)
    field = choose_field("Element" if primitive else place.type_name, operation.name, operation.value, where)
    present = children(place, field.element)
    if present and not field.is_list:
        raise inapplicable(f"{where}: there is {field.element} already, and no room for more.", present[0].expression)
    value, extra = build_value(field, operation.value, where)
    content = place.content()
    if content is None:
        content = _make_extra(place)
    if field.is_list:
        _splice(content, field.name, field.sibling, len(present), [(value, extra)])
    else:
        _set(content, field.name, field.sibling, value, extra)


def _make_extra(place: Place) -> dict[str, Any]:
    """Give a primitive the object that holds its extensions."""
    extra: dict[str, Any] = {}
    owner = place.owner.content() if place.owner is not None else None
    if owner is None:
        raise ValueError("a primitive lies in an object")
    if place.index is None:
        owner["_" + place.key] = extra
    else:
        extras = owner.setdefault("_" + place.key, [])
        extras += [None] * (len(owner[place.key]) - len(extras))
        extras[place.index] = extra
    return extra


def _field(place: Place, operation: Operation, where: str) -> tuple[dict[str, Any], Field]:
    """Return the object in which an element lies, and which field of it may hold the operation's value."""
    owner = place.owner
    content = owner.content() if owner is not None else None
    if owner is None or content is None or operation.value is None:
        raise inapplicable(f"{where}: the resource itself can't be changed so.", place.expression)
    type_name = owner.type_name if content is owner.value else "Element"
    return content, choose_field(type_name or "", place.element, operation.value, where)


def _insert(places: list[Place], operation: Operation, where: str) -> None:
    if not 0 <= operation.index <= len(places):
        raise inapplicable(f"{where}: the index {operation.index} is not in 0..{len(places)}.", places[0].expression)
    content, field = _field(places[0], operation, where)
    _splice(content, field.name, field.sibling, operation.index, [build_value(field, _part(operation), where)])


def _part(operation: Operation) -> Any:
    return operation.value or {}


def _replace(place: Place, operation: Operation, where: str) -> None:
    content, field = _field(place, operation, where)
    value, extra = build_value(field, _part(operation), where)
    if place.index is not None:
        _splice(content, field.name, field.sibling, place.index, [(value, extra)], removed=1)
        return
    content.pop(place.key, None)
    content.pop("_" + place.key, None)
    _set(content, field.name, field.sibling, value, extra)


def _delete(place: Place, where: str) -> None:
    """Remove an element, and around it those that have no content without it."""
    owner = place.owner
    content = owner.content() if owner is not None else None
    if owner is None or content is None:
        raise inapplicable(f"{where}: the resource itself can't be deleted by a patch.", place.expression)
    if place.index is None:
        content.pop(place.key, None)
        content.pop("_" + place.key, None)
    else:
        _splice(content, place.key, "_" + place.key, place.index, [], removed=1)
    is_bare = not content.keys() - {"id"}
    if is_bare and owner.owner is not None and "resourceType" not in content:
        if content is owner.value or owner.value is None:
            _delete(owner, where)
        else:
            _drop_extra(owner)


def _drop_extra(place: Place) -> None:
    """Remove the object beside a primitive, which has a value that stays."""
    owner = place.owner.content() if place.owner is not None else None
    if owner is None:
        return
    extras = owner["_" + place.key]
    if place.index is not None:
        extras[place.index] = None
    if place.index is None or not any(extras):
        del owner["_" + place.key]


def _move(places: list[Place], operation: Operation, where: str) -> None:
    size = len(places)
    for name, index in (("source", operation.source), ("destination", operation.destination)):
        if not 0 <= index < size:
            raise inapplicable(f"{where}: the {name} {index} is not in 0..{size - 1}.", places[0].expression)
    place = places[operation.source]
    content = place.owner.content() if place.owner is not None else None
    if content is None:
        raise inapplicable(f"{where}: the path selects no list.", place.expression)
    _splice(content, place.key, "_" + place.key, operation.source, [], removed=1)
    _splice(content, place.key, "_" + place.key, operation.destination, [(place.value, place.extra)])


def _set(content: dict[str, Any], name: str, sibling: str | None, value: Any, extra: Any) -> None:
    if value is not None:
        content[name] = value
    if extra is not None and sibling is not None:
        content[sibling] = extra


def _splice(
    content: dict[str, Any],
    name: str,
    sibling: str | None,
    index: int,
    added: list[tuple[Any, Any]],
    *,
    removed: int = 0,
) -> None:
    """Replace ``removed`` items of a list at ``index`` by (value, extra) pairs; keep values and extras side by side."""
    values, extras = content.get(name) or [], content.get(sibling or "") or []
    size = max(len(values), len(extras))
    pairs = [(values[i] if i < len(values) else None, extras[i] if i < len(extras) else None) for i in range(size)]
    pairs[index : index + removed] = added
    for key, items in ((name, [value for value, _ in pairs]), (sibling, [extra for _, extra in pairs])):
        if key is None:
            continue
        if any(item is not None for item in items):
            content[key] = items
        else:
            content.pop(key, None)
