"""A list of ElementDefinitions as the tree it stands for, https://hl7.org/fhir/R4/profiling.html#snapshot.

The children of a node are in order; the slices of an element are its siblings and follow it. The JSON of an element is
never changed in place, so trees may share it: whoever constrains an element gives the node another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


MOST_LEVELS = 60
"""How deep elements may lie, in a differential or a snapshot: far deeper than any does."""


@dataclass(slots=True)
class Node:
    """An element: ``name`` is the last part of its path, ``slice_name`` None unless it is a slice.

    ``position`` is where a differential has the element, None where it only leads to others.
    """

    name: str
    element: Json
    slice_name: str | None = None
    children: list[Node] = field(default_factory=list)
    position: int | None = None

    def copy(self) -> Node:
        """Return a copy with copies of all below; the elements' JSON is shared."""
        return Node(self.name, self.element, self.slice_name, [child.copy() for child in self.children], self.position)

    def child(self, name: str, slice_name: str | None = None) -> Node | None:
        """Return the child of a name, or its slice."""
        for child in self.children:
            if child.name == name and child.slice_name == slice_name:
                return child
        return None

    def size(self) -> int:
        """Return how many elements the node and all below it are."""
        return 1 + sum(child.size() for child in self.children)

    @property
    def segment(self) -> str:
        """The element's part of an ``ElementDefinition.id``: ``name`` or ``name:slice``."""
        return self.name if self.slice_name is None else f"{self.name}:{self.slice_name}"


Segment = tuple[str, str | None]
Known = dict[tuple[int, str, str | None], Node]
"""The children found so far by the identity of their parent, their name and slice."""


def _segments(element: Json) -> tuple[list[Segment], bool]:
    """Split an element's path into (name, slice) pairs; tell whether its id says which slices are on the way."""
    names: list[str] = element["path"].split(".")
    slices: list[str | None] = [None] * len(names)
    parts = element.get("id", "").split(".")
    told = len(parts) == len(names)
    if told:
        for index, part in enumerate(parts):
            name, _, slice_name = part.partition(":")
            slices[index] = slice_name or None
            # The path may name the type of a choice (valueQuantity) where the id has it as a slice.
            if name.endswith("[x]") and slice_name == names[index]:
                names[index] = name
    slices[-1] = element.get("sliceName", slices[-1])
    return list(zip(names, slices, strict=True)), told


def plant(elements: Iterable[Json]) -> Node:
    """Return the root of the tree of a differential or a snapshot. Raises ValueError for an element that has no place.

    Elements that a differential leaves out on the way to another become nodes without constraints.
    """
    root: Node | None = None
    way: list[Node] = []
    known: Known = {}
    for position, element in enumerate(elements):
        segments, told = _segments(element)
        if len(segments) > MOST_LEVELS:
            raise ValueError(f"an element lies more than {MOST_LEVELS} levels deep")
        if root is None:
            root = Node(segments[0][0], {"path": segments[0][0]})
        if segments[0][0] != root.name:
            raise ValueError(f"{element['path']} doesn't begin with {root.name}")
        way = _follow(root, way, segments, known, told=told)
        way[-1].element = element
        way[-1].position = position
    if root is None:
        raise ValueError("there are no elements")
    return root


def _follow(root: Node, last: list[Node], segments: list[Segment], known: Known, *, told: bool) -> list[Node]:
    """Return the nodes from the root to an element, making those that aren't there."""
    way = [root]
    end = len(segments) - 1
    for depth, (name, slice_name) in enumerate(segments[1:], 1):
        here = way[-1]
        # Without an id an element belongs to the slice that was last spoken of.
        recent = last[depth] if depth < len(last) and last[depth - 1] is here else None
        if depth < end and not told and recent is not None and recent.name == name:
            node: Node | None = recent
        else:
            node = known.get((id(here), name, slice_name))
        if node is None:
            node = known[id(here), name, slice_name] = Node(name, {"path": name}, slice_name)
            here.children.append(node)
        way.append(node)
    return way


def gather(root: Node) -> Iterator[Json]:
    """Yield the elements of a tree in order, with the id and the path that their places give them."""
    return _gather(root, root.segment, root.name)


def _gather(node: Node, element_id: str, path: str) -> Iterator[Json]:
    made = {"id": element_id, "path": path, **{k: v for k, v in node.element.items() if k not in {"id", "path"}}}
    yield made
    for child in node.children:
        yield from _gather(child, f"{element_id}.{child.segment}", f"{path}.{child.name}")
