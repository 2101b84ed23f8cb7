"""The elements of a snapshot as a tree, slices beside what they slice, https://hl7.org/fhir/R4/elementdefinition.html."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from conformance.definitions import Element, types
from conformance.validation.run import Json

_PROFILE_ELEMENT = "http://hl7.org/fhir/StructureDefinition/elementdefinition-profile-element"


@dataclass(slots=True, eq=False)
class Node:
    """An ElementDefinition; ``types`` are FHIR types, of backbone elements their paths; ``base`` is what it constrains.

    ``base`` is FHIR's own ElementDefinition of the element or, for a slice, the one that is sliced.
    """

    element: Json
    name: str
    types: tuple[str, ...]
    children: dict[str, Node] = field(default_factory=dict)
    slices: list[Node] = field(default_factory=list)
    whole: Node | None = None

    @property
    def slice_name(self) -> str:
        """The name of the slice, empty if it is none."""
        return str(self.element.get("sliceName", ""))

    def fixed(self) -> tuple[object, bool] | None:
        """Return the fixed value or pattern, and whether it is a pattern; None if there is neither."""
        for key, value in self.element.items():
            if key.startswith("fixed"):
                return value, False
            if key.startswith("pattern"):
                return value, True
        return None

    def profiles(self) -> tuple[str, ...]:
        """Return the profiles on the element's types; ``url#id`` means one element of a profile."""
        return tuple(url for type_ in self.element.get("type", ()) for url in profiles_of(type_))

    def targets(self) -> tuple[str, ...]:
        """Return the profiles on what the element's references lead to."""
        return tuple(url for type_ in self.element.get("type", ()) for url in type_.get("targetProfile", ()))

    def binding(self) -> Json | None:
        """Return the binding."""
        found: Json | None = self.element.get("binding")
        return found

    def walk(self) -> Iterator[Node]:
        """Yield the node and all below it."""
        yield self
        for child in (*self.children.values(), *self.slices):
            yield from child.walk()


def profiles_of(type_: Json) -> list[str]:
    """Return the profiles of an ElementDefinition's type."""
    urls: list[str] = list(type_.get("profile", ()))
    for index, beside in enumerate(type_.get("_profile", ())):
        for extension in (beside or {}).get("extension", ()):
            if extension.get("url") == _PROFILE_ELEMENT and index < len(urls):
                urls[index] = f"{urls[index]}#{extension.get('valueString')}"
    return urls


def plant(structure: Json) -> Node | None:
    """Return the root of a StructureDefinition's snapshot; None if there is none, or not of a type of FHIR R4."""
    elements = structure.get("snapshot", {}).get("element", ())
    type_name = structure.get("type")
    if not elements or not isinstance(type_name, str) or type_name not in types():
        return None
    root = Node(elements[0], type_name, (type_name,))
    # The last node at each depth: what follows in the list is below it.
    line = [root]
    for element in elements[1:]:
        depth = element["path"].count(".")
        if not 0 < depth <= len(line):
            continue
        parent = line[depth - 1]
        node = _attach(element, element["path"].rpartition(".")[2], parent)
        if node is not None:
            line[depth:] = [node]
        else:
            del line[depth:]
    return root


def _attach(element: Json, name: str, parent: Node) -> Node | None:
    """Hang an element below ``parent``, as a child or as a slice of one; None where the type has no such element."""
    known, narrowed = _known(parent.types, name.removesuffix("[x]"))
    if known is None:
        return None
    node = Node(element, known.name, narrowed or _types(element, known))
    whole = parent.children.get(known.name)
    if narrowed and not element.get("sliceName"):
        # A choice by the name of one of its types (valueQuantity) is a slice by that type.
        node.element = {**element, "sliceName": name}
    elif not element.get("sliceName"):
        parent.children[known.name] = node
        return node
    if whole is None:
        whole = parent.children[known.name] = Node({"path": element["path"]}, known.name, known.types)
    above, _, _ = node.slice_name.rpartition("/")
    for other in whole.slices if above else ():
        if other.slice_name == above:
            whole = other
            break
    node.whole = whole
    whole.slices.append(node)
    return node


def _known(owners: tuple[str, ...], name: str) -> tuple[Element | None, tuple[str, ...]]:
    """Return FHIR's own element of a name, and the type that the name itself says, if it does."""
    for owner in owners:
        elements = types()[owner].elements if owner in types() else {}
        if name in elements:
            return elements[name], ()
        for element in elements.values():
            for key, kind in element.json_names if element.choice else ():
                if key == name:
                    return element, (kind,)
    return None, ()


def _types(element: Json, known: Element) -> tuple[str, ...]:
    codes = tuple(str(type_.get("code")) for type_ in element.get("type", ()))
    if not codes or any("/" in code for code in codes) or any("." in own for own in known.types):
        return known.types
    return codes
