"""A profile compiled to what it adds to the types it constrains, https://hl7.org/fhir/R4/profiling.html.

The types themselves are checked first (:mod:`conformance.validation.base`), so elements that a profile leaves as they
were cost nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from conformance.fhirpath.model import ancestors
from conformance.validation.bindings import compile_bindings
from conformance.validation.invariants import RULED, STRUCTURAL, check_invariants, compile_invariants
from conformance.validation.items import children
from conformance.validation.limits import compile_limits
from conformance.validation.references import check_target_type, target_of, type_of_target
from conformance.validation.run import Item, Json, Run
from conformance.validation.slicing import compile_slicing
from conformance.validation.tree import Node, plant, profiles_of

if TYPE_CHECKING:
    from conformance.validation.plans import Plans

Check = Callable[[Item, Run], None]


class ProfilePlan:
    """A profile or an extension, compiled. ``structure`` is the StructureDefinition; ``root`` its snapshot's tree."""

    def __init__(self, structure: Json, root: Node, plans: Plans) -> None:
        self.structure = structure
        self.root = root
        self.url = str(structure.get("url"))
        self._plans = plans
        self._compilation = _Compilation(root, self.url, plans)
        self._checks: tuple[Check, ...] | None = None

    @property
    def is_modifier(self) -> bool:
        """Whether the definition is one of modifier extensions."""
        return bool(self.root.element.get("isModifier"))

    def check(self, item: Item, run: Run) -> None:
        """Report what of the profile an item does not meet."""
        checks = self._checks
        if checks is None:
            # Threads share plans, and one that is being compiled has places that stand for what is to come.
            with self._plans.compiling:
                checks = self._checks = self._compilation.compile_root()
        wanted = self.root.types[0]
        if wanted not in ancestors(item[2]):
            message = f"The profile {self.url} is about {wanted}, this is a {item[2]} (type)"
            run.report("error", "structure", message, item[3])
            return
        value = item[0]
        if type(value) is dict and "resourceType" in value and value is not run.scope.resource:
            inside = run.root.get("contained")
            contained = type(inside) is list and any(value is one for one in inside)
            with run.inside(value, item[3], contained=contained):
                for check in checks:
                    check(item, run)
            return
        for check in checks:
            check(item, run)


def _apply_inside(checks: tuple[Check, ...], item: Item, run: Run) -> None:
    """Run the checks of an element that may be a resource inside the one that the profile is about.

    Its references are those of that resource, but %resource is still what the profile is about.
    """
    value = item[0]
    before = run.root, run.full_url
    if type(value) is dict and "resourceType" in value and item[3][1] != "contained":
        run.root, run.full_url = value, run.full_urls.get(id(value), run.full_url)
    for check in checks:
        check(item, run)
    run.root, run.full_url = before


class _Compilation:
    """The compiling of one profile."""

    def __init__(self, root: Node, url: str, plans: Plans) -> None:
        self._root = root
        self._url = url
        self._plans = plans
        self._members: dict[Node, tuple[Check, ...]] = {}

    def compile_root(self) -> tuple[Check, ...]:
        """Return the checks of what the profile is about."""
        base = self._plans.base_element(self._root.types[0])
        try:
            return (*self._invariants(self._root, base), *self.members(self._root))
        except BaseException:
            # A definition that has to be fetched first, say: what is half made must not be taken for the whole next time.
            self._members.clear()
            raise

    def members(self, node: Node) -> tuple[Check, ...]:
        """Return the checks of the elements inside an element, one for each name that has something to check."""
        if node not in self._members:
            # An element defined by reference to another may lie within that one.
            self._members[node] = (lambda item, run: self._check_members(node, item, run),)
            owner = node.types[0] if node.types else "Element"
            self._members[node] = tuple(
                check for child in node.children.values() if (check := self._member(child, owner)) is not None
            )
        return self._members[node]

    def _check_members(self, node: Node, item: Item, run: Run) -> None:
        for check in self._members[node]:
            check(item, run)

    def _member(self, node: Node, owner: str) -> Check | None:
        base = self._plans.base_element(owner, node.name)
        least = int(node.element.get("min", 0))
        least = 0 if least <= int(base.get("min", 0)) else least
        most = None if node.element.get("max") in (None, "*", base.get("max")) else int(node.element["max"])
        checks = self._item_checks(node, base)
        label = str(node.element.get("id") or node.element.get("path"))
        slicing = compile_slicing(node, label, self._plans, lambda one: self._item_checks(one, {}))
        if not least and most is None and not checks and slicing is None:
            return None
        name, url = node.name, self._url

        def check_member(item: Item, run: Run) -> None:
            items = children(item, name)
            count = len(items)
            where = item[3]
            if count < least:
                message = f"{label} needs at least {least}, found {count} (min, {url})"
                run.report("error", "required", message, (where, name, None))
            if most is not None and count > most:
                message = f"{label} has at most {most}, found {count} (max, {url})"
                run.report("error", "structure", message, (where, name, None))
            for one in items if checks else ():
                _apply_inside(checks, one, run)
            if slicing is not None:
                slicing.check(items, where, name, run)

        return check_member

    def _item_checks(self, node: Node, base: Json) -> tuple[Check, ...]:
        """Return the checks of each element that a node is about, beyond those of FHIR itself."""
        if str(node.element.get("max")) == "0":
            return ()
        checks: list[Check] = [*self._type_checks(node, base), *compile_limits(node)]
        if not _is_same_binding(node.binding(), base.get("binding")):
            checks += compile_bindings(node.binding(), node.types, self._plans.terminology)
        checks += self._invariants(node, base)
        checks += self._profile_checks(node, base)
        checks += self._target_checks(node, base)
        referred = node.element.get("contentReference")
        if referred and not node.children:
            checks += self._referred(referred)
        checks += self.members(node)
        return tuple(checks)

    def _referred(self, reference: str) -> tuple[Check, ...]:
        wanted = reference.partition("#")[2]
        for node in self._root.walk():
            if node.element.get("id", node.element.get("path")) == wanted:
                return self.members(node)
        return ()

    def _invariants(self, node: Node, base: Json) -> list[Check]:
        whole = node.whole.element.get("constraint", ()) if node.whole else ()
        own = [c for t in node.types for c in self._plans.base_element(t).get("constraint", ())]
        known = {str(c.get("key")) for c in (*base.get("constraint", ()), *whole, *own)}
        type_name = node.types[0] if len(node.types) == 1 else None
        constraints = node.element.get("constraint", ())
        if type_name is not None:
            invariants = compile_invariants(constraints, type_name, STRUCTURAL | RULED | known)
            return [lambda item, run: check_invariants(invariants, item, run)] if invariants else []
        by_type = {t: compile_invariants(constraints, t, STRUCTURAL | RULED | known) for t in node.types}
        return (
            [lambda item, run: check_invariants(by_type.get(item[2], ()), item, run)] if any(by_type.values()) else []
        )

    def _type_checks(self, node: Node, base: Json) -> list[Check]:
        allowed = frozenset(node.types)
        before = frozenset(str(type_.get("code")) for type_ in base.get("type", ()))
        if not node.element.get("type") or before in (allowed, {"BackboneElement"}, {"Element"}):
            return []
        if any("/" in code for code in before) or (not base and node.whole is None):
            return []

        def check(item: Item, run: Run) -> None:
            if allowed.isdisjoint(ancestors(item[2])):
                message = f"{item[2]} is not allowed here, only {', '.join(sorted(allowed))} (type)"
                run.report("error", "structure", message, item[3])

        return [check]

    def _profile_checks(self, node: Node, base: Json) -> list[Check]:
        checks: list[Check] = []
        before = [t.get("profile") for t in base.get("type", ())]
        for type_ in node.element.get("type", ()):
            canonicals, code = profiles_of(type_), str(type_.get("code"))
            if not canonicals or canonicals in before:
                continue
            checks.append(_extension_check(canonicals) if code == "Extension" else _profile_check(code, canonicals))
        return checks

    def _target_checks(self, node: Node, base: Json) -> list[Check]:
        canonicals = node.targets()
        before = {url for type_ in base.get("type", ()) for url in type_.get("targetProfile", ())}
        if not canonicals or set(canonicals) == before:
            return []
        roots = {url: self._plans.root(url) for url in canonicals}
        targets = frozenset(root.types[0] for root in roots.values() if root is not None)
        known = all(root is not None for root in roots.values())

        def check(item: Item, run: Run) -> None:
            if item[2] == "Reference" and type(item[0]) is dict:
                if known:
                    check_target_type(item[0], targets, run, item[3])
                check_target(item, canonicals, run)

        return [check]


def check_target(item: Item, canonicals: tuple[str, ...], run: Run) -> None:
    """Report a Reference to a resource that is at hand and conforms to none of the profiles demanded of it."""
    target = target_of(item[0], run)
    name = type_of_target(item[0], run) if target is not None else None
    if target is None or name is None:
        return
    plans = run.plans
    fitting = [url for url in canonicals if (root := plans.root(url)) is None or root.types[0] in ancestors(name)]
    found = (target, None, name, item[3])
    if fitting and not any(plans.root(url) is None or plans.conforms(found, url, run) for url in fitting):
        message = f"What this refers to conforms to none of {', '.join(fitting)} (targetProfile)"
        run.report("error", "structure", message, item[3])


def _is_same_binding(one: Json | None, other: Json | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.get("strength") == other.get("strength") and one.get("valueSet") == other.get("valueSet")


def _extension_check(canonicals: list[str]) -> Check:
    """Demand the url of one of these extensions; their content is checked with every extension's."""
    urls = frozenset(url.partition("|")[0] for url in canonicals)

    def check(item: Item, run: Run) -> None:
        url = item[0].get("url") if type(item[0]) is dict else None
        if url not in urls:
            run.report("error", "structure", f"Only the extension {', '.join(sorted(urls))} is allowed (type)", item[3])

    return check


def _profile_check(code: str, canonicals: list[str]) -> Check:
    def check(item: Item, run: Run) -> None:
        if code in ancestors(item[2]):
            run.plans.check_any_profile(item, canonicals, run)

    return check


def compile_profile(structure: Json, element: str, plans: Plans) -> ProfilePlan | None:
    """Return the plan of a StructureDefinition with a snapshot, or of the element of it that has the id ``element``.

    None if there is no such element, or if it is not about a type of R4.
    """
    root = plant(structure)
    for node in root.walk() if root is not None else ():
        if not element or node.element.get("id") == element:
            return ProfilePlan(structure, node, plans)
    return None
