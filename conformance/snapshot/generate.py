"""The snapshot of a profile from its differential and its base, https://hl7.org/fhir/R4/profiling.html#snapshot.

The base's snapshot is a tree; the differential is another, sparser one, and is laid over it from the root. Where it goes
deeper than the base does, the base is unfolded: the elements of the data type (or of the one profile that is demanded of
it), or those that a ``contentReference`` names. What can't be followed becomes an issue, and the rest is done all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from conformance.decode import check
from conformance.issues import InvalidResource, Issue
from conformance.snapshot.constrain import constrain, widened, with_root
from conformance.snapshot.slices import close_choice, default_slicing, new_slice, typed_choice, typed_element
from conformance.snapshot.tree import Node, gather, plant
from conformance.structures import type_url

Json = dict[str, Any]
Find = Callable[[str, str], Json | None]

MOST_BASES = 20
MOST_ELEMENTS = 20_000
"""How many elements a snapshot may have; the largest published ones have a few thousand."""
MOST_SLICES = 2_000
# What every StructureDefinition must say; of a base only the snapshot matters.
_TOLD: Json = {"url": "urn:x", "name": "X", "status": "draft", "kind": "resource", "abstract": False, "type": "X"}


class Snapshot(NamedTuple):
    """A StructureDefinition with its snapshot, as far as one could be made, and what was wrong."""

    structure: Json
    issues: list[Issue]


def generate(structure: Json, find: Find) -> Snapshot:
    """Return a StructureDefinition with the snapshot that follows from its differential.

    ``find(resource_type, canonical)`` gives the definitions it builds on; those without a snapshot get one on the way. A
    snapshot that is there already is replaced. Without a base that can be found there is none.
    """
    return Generation(find).generate(structure)


class Unfoldable(Exception):
    """Why a definition or the elements below one can't be had."""


class Generation:
    """The snapshots made in one go; remembers the definitions used."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._trees: dict[str, Node] = {}
        self._pending: list[str] = []

    def generate(self, structure: Json) -> Snapshot:
        """See :func:`generate`."""
        without = {name: value for name, value in structure.items() if name != "snapshot"}
        try:
            check(without)
        except InvalidResource as error:
            return Snapshot(without, error.issues)
        self._pending.append(structure["url"])
        try:
            base = self._base(structure)
            differential = structure.get("differential", {}).get("element", ())
            laying = Laying(self, structure, base)
            root = laying.lay(plant(differential) if differential else None)
            return Snapshot({**without, "snapshot": {"element": list(gather(root))}}, laying.issues)
        except (Unfoldable, ValueError) as reason:
            return Snapshot(without, [Issue("error", "invalid", str(reason), "StructureDefinition")])
        finally:
            self._pending.pop()

    def tree(self, canonical: str) -> Node:
        """Return the snapshot tree of a definition, for copying. Raises Unfoldable."""
        known = self._trees.get(canonical)
        if known is None:
            url = canonical.partition("|")[0]
            if url in self._pending:
                raise Unfoldable(f"{url} builds on itself: {' → '.join((*self._pending, url))}")
            if len(self._pending) >= MOST_BASES:
                raise Unfoldable(f"{self._pending[0]} builds on more than {MOST_BASES} others without snapshots")
            found = self._find("StructureDefinition", canonical)
            if found is None:
                raise Unfoldable(f"there is no StructureDefinition {canonical}")
            if not found.get("snapshot"):
                made = self.generate(found)
                if "snapshot" not in made.structure:
                    raise Unfoldable(f"{canonical} has no snapshot: {made.issues[0].diagnostics}")
                found = made.structure
            try:
                check({"resourceType": "StructureDefinition", **_TOLD, "snapshot": found["snapshot"]})
                known = plant(found["snapshot"]["element"])
            except (InvalidResource, ValueError) as reason:
                raise Unfoldable(f"the snapshot of {canonical} is broken: {reason}") from reason
            self._trees[canonical] = known
        return known

    def _base(self, structure: Json) -> Node:
        """Return the base's tree."""
        canonical = structure.get("baseDefinition")
        if canonical is None:
            raise Unfoldable(f"{structure['url']} names no baseDefinition")
        return self.tree(canonical)


class Laying:
    """A differential's tree being laid over its base's."""

    def __init__(self, generation: Generation, structure: Json, base: Node) -> None:
        self.issues: list[Issue] = []
        self._generation = generation
        self._url: str = structure["url"]
        self._base = base
        self._root = base.copy()
        self._elements = base.size()
        self._new = structure.get("derivation") == "specialization"
        if self._new:
            self._root.name = structure["type"].rpartition("/")[2]

    def lay(self, over: Node | None) -> Node:
        """Lay the whole differential, if there is one, over the base and return the result."""
        if over is None:
            return self._root
        if over.name != self._root.name:
            raise Unfoldable(f"the differential is about {over.name}, the base about {self._root.name}")
        self._lay(self._root, over, over.name)
        return self._root

    def _lay(self, node: Node, over: Node, path: str, *, in_new_slice: bool = False) -> None:
        """Constrain a node and what is below it."""
        if over.position is not None:
            self._constrain(node, over, path)
        if over.children:
            self._lay_children(node, over, path, in_new_slice)

    def _constrain(self, node: Node, over: Node, path: str) -> None:
        for problem in widened(node.element, over.element):
            self._tell(over, f"{path}: {problem}", severity="warning")
        if "base" not in node.element and not self._new:
            node.element = {**node.element, "base": _as_base(node.element)}
        root = self._demanded(over)
        if root is not None:
            node.element = with_root(node.element, root.element)
        node.element = constrain(node.element, over.element, self._url)

    def _demanded(self, over: Node) -> Node | None:
        """Return the root of the one profile that a differential's element demands of its value."""
        types = over.element.get("type", ())
        if len(types) != 1 or len(types[0].get("profile", ())) != 1:
            return None
        try:
            return self._generation.tree(types[0]["profile"][0])
        except Unfoldable as reason:
            self._tell(over, str(reason), severity="warning")
            return None

    def _lay_children(self, node: Node, over: Node, path: str, in_new_slice: bool) -> None:
        if not node.children:
            try:
                self._unfold(node, over)
            except Unfoldable as reason:
                self._tell(over, f"{path}: {reason}")
                return
        # New slices begin as what the base says of the element, not as what this differential does.
        cuts = any(child.slice_name is not None or node.child(child.name) is None for child in over.children)
        wholes = node.copy() if cuts else node
        for child in over.children:
            typed = typed_choice(node, child.name) if node.child(child.name) is None else None
            below = f"{path}.{child.segment}"
            if typed is not None:
                alone = sum(typed_choice(node, other.name) is typed for other in over.children) == 1
                self._lay_typed(node, typed, child, below, wholes, in_place=in_new_slice and alone)
            else:
                self._lay_child(node, child, below, wholes, in_new_slice)

    def _lay_child(self, parent: Node, over: Node, path: str, wholes: Node, in_new_slice: bool) -> None:
        head = parent.child(over.name)
        if head is None and self._new and over.position is not None:
            head = Node(over.name, {"base": _as_base(over.element)})
            parent.children.append(head)
        if head is None:
            self._tell(over, f"{path} isn't an element of the base")
            return
        if over.slice_name is None:
            self._lay(head, over, path, in_new_slice=in_new_slice)
            return
        known = parent.child(head.name, over.slice_name)
        if known is not None:
            self._lay(known, over, path, in_new_slice=in_new_slice)
        else:
            self._lay(self._cut(parent, over.name, over.slice_name, over, wholes), over, path, in_new_slice=True)
        if head.name.endswith("[x]"):
            close_choice(parent, head)

    def _lay_typed(self, parent: Node, head: Node, over: Node, path: str, wholes: Node, *, in_place: bool) -> None:
        """Lay ``valueQuantity`` over ``value[x]``, as a slice of that name; if it must be there, no other type may.

        In a slice that is new itself, the choice isn't sliced once more: it is of that type.
        """
        if in_place:
            head.element = typed_element(head.element, head.name, over.name)
            self._lay(head, over, path, in_new_slice=True)
            return
        known = parent.child(head.name, over.name) or self._cut(parent, head.name, over.name, over, wholes)
        self._lay(known, over, path, in_new_slice=True)
        if known.element.get("min", 0):
            head.element = {**typed_element(head.element, head.name, over.name), "min": 1}
        close_choice(parent, head)

    def _cut(self, parent: Node, name: str, slice_name: str, over: Node, wholes: Node) -> Node:
        """Add a new slice behind the others of its element (a slice of a slice behind those of the slice it divides)."""
        part_of = slice_name.rpartition("/")[0] or None
        if parent.child(name, part_of) is None:
            part_of = None
        whole = parent.child(name, part_of)
        before = wholes.child(name, part_of) or whole
        assert whole is not None  # noqa: S101  the callers found the element
        assert before is not None  # noqa: S101
        if "slicing" not in whole.element:
            slicing = default_slicing(whole)
            if slicing is None:
                self._tell(over, f"{whole.segment} has slices but no slicing", severity="warning")
            else:
                whole.element = {**whole.element, "slicing": slicing}
        if len(parent.children) > MOST_SLICES:
            raise Unfoldable(f"{parent.name}.{name} has more than {MOST_SLICES:,} slices")
        made = before.copy()
        self._count(made)
        made.slice_name = slice_name
        made.element = new_slice(before.element, name, slice_name)
        index = max(i for i, child in enumerate(parent.children) if _belongs(child, whole)) + 1
        parent.children.insert(index, made)
        return made

    def _unfold(self, node: Node, over: Node) -> None:
        """Give a node the children that its type or its contentReference says."""
        reference = node.element.get("contentReference")
        if reference is not None:
            target = self._referenced(reference)
            node.children = target.copy().children
            node.element = {k: v for k, v in node.element.items() if k != "contentReference"}
            node.element["type"] = target.element.get("type", [])
        else:
            canonical = self._unfolded_type(node, over)
            node.children = self._generation.tree(canonical).copy().children
            _make_absolute(node.children, canonical)
        self._count(node)

    def _count(self, node: Node) -> None:
        """Raise Unfoldable when the elements that were added are too many."""
        self._elements += node.size()
        if self._elements > MOST_ELEMENTS:
            raise Unfoldable(f"the snapshot would have more than {MOST_ELEMENTS:,} elements")

    def _referenced(self, reference: str) -> Node:
        url, _, element_id = reference.partition("#")
        # As it was before this differential.
        root = self._generation.tree(url) if url and url != self._url else self._base
        target: Node | None = root
        for name in element_id.split(".")[1:]:
            target = target and target.child(name)
        if target is None:
            raise Unfoldable(f"there is no element {reference}")
        return target

    def _unfolded_type(self, node: Node, over: Node) -> str:
        """Return which StructureDefinition has the children of an element."""
        types: list[Mapping[str, Any]] = node.element.get("type", [])
        codes = {type_["code"] for type_ in types}
        if len(types) == 1:
            profiles = types[0].get("profile", ())
            return str(profiles[0]) if len(profiles) == 1 else type_url(next(iter(codes)))
        if len(codes) == 1:
            return type_url(codes.pop())
        if {child.name for child in over.children} <= {"id", "extension"}:
            return type_url("Element")
        raise Unfoldable(f"which type's elements are meant? It may be {', '.join(sorted(codes)) or 'anything'}")

    def _tell(self, over: Node, text: str, *, severity: Any = "error") -> None:
        at = "" if over.position is None else f".differential.element[{over.position}]"
        self.issues.append(Issue(severity, "invalid", text, f"StructureDefinition{at}"))


def _as_base(element: Json) -> Json:
    return {"path": element["path"], "min": element.get("min", 0), "max": element.get("max", "1")}


def _belongs(child: Node, whole: Node) -> bool:
    """Tell whether a node is an element or slice, or one of the slices of it."""
    if child.name != whole.name:
        return False
    if whole.slice_name is None or child.slice_name == whole.slice_name:
        return True
    return child.slice_name is not None and child.slice_name.startswith(f"{whole.slice_name}/")


def _make_absolute(nodes: list[Node], canonical: str) -> None:
    """Let contentReferences of a type's elements name their type, for they leave it."""
    for node in nodes:
        reference = node.element.get("contentReference", "")
        if reference.startswith("#"):
            node.element = {**node.element, "contentReference": canonical.partition("|")[0] + reference}
        _make_absolute(node.children, canonical)
