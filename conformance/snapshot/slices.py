"""What a slice is before its own constraints, https://hl7.org/fhir/R4/profiling.html#slicing."""

from __future__ import annotations

from typing import Any

from conformance.snapshot.tree import Node

Json = dict[str, Any]


def default_slicing(node: Node) -> Json | None:
    """Return the slicing that an element has without a word: extensions go by url, choices by type; others have none."""
    if node.name in {"extension", "modifierExtension"}:
        return {"discriminator": [{"type": "value", "path": "url"}], "ordered": False, "rules": "open"}
    if node.name.endswith("[x]"):
        return {"discriminator": [{"type": "type", "path": "$this"}], "ordered": False, "rules": "open"}
    return None


def choice_type(element: Json, name: str, slice_name: str) -> str | None:
    """Return the type that ``valueQuantity`` narrows ``value[x]`` to, or None."""
    stem = name.removesuffix("[x]")
    for type_ in element.get("type", ()):
        code: str = type_["code"]
        if slice_name == stem + code[:1].upper() + code[1:]:
            return code
    return None


def typed_choice(parent: Node, name: str) -> Node | None:
    """Return the choice among a node's children that a name such as ``valueQuantity`` narrows, or None."""
    for child in parent.children:
        if child.slice_name is None and child.name.endswith("[x]") and choice_type(child.element, child.name, name):
            return child
    return None


def typed_element(element: Json, name: str, slice_name: str) -> Json:
    """Return a choice with only the type that a name such as ``valueQuantity`` says, if it says one."""
    code = choice_type(element, name, slice_name)
    if code is None:
        return element
    return {**element, "type": [type_ for type_ in element["type"] if type_["code"] == code]}


def new_slice(element: Json, name: str, slice_name: str) -> Json:
    """Return what a new slice takes from its whole: all but the slicing and the least number, a choice's own type."""
    made = {k: v for k, v in element.items() if k != "slicing"}
    made.update({"sliceName": slice_name, "min": 0})
    return typed_element(made, name, slice_name) if name.endswith("[x]") else made


def close_choice(parent: Node, head: Node) -> None:
    """Say that a choice sliced by type is closed when each of its types has a slice: nothing else is left."""
    slicing = head.element.get("slicing", {})
    if [d.get("type") for d in slicing.get("discriminator", ())] != ["type"] or slicing.get("rules") == "closed":
        return
    slices = [child for child in parent.children if child.name == head.name and child.slice_name]
    covered = {type_["code"] for child in slices for type_ in child.element.get("type", ())}
    if {type_["code"] for type_ in head.element.get("type", ())} <= covered:
        head.element = {**head.element, "slicing": {**slicing, "rules": "closed"}}
