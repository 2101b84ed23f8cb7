"""The compiled definitions of one set: a plan for each type, a plan for each profile, made when first asked for.

https://hl7.org/fhir/R4/profiling.html. Plans are cached by canonical URL and live as long as their set.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from threading import RLock
from types import MappingProxyType

from conformance.definitions import resource_types, types
from conformance.fhirpath import Hooks
from conformance.issues import Issue
from conformance.shape import property_names
from conformance.snapshot import generate
from conformance.structures import TYPE_BASE, find_definition, find_structure
from conformance.validation.base import TypePlan
from conformance.validation.bindings import is_bound
from conformance.validation.items import root_item
from conformance.validation.profile import ProfilePlan, compile_profile
from conformance.validation.references import resolve
from conformance.validation.rules import RESOURCE_RULES
from conformance.validation.run import Item, Json, Run, Where
from conformance.validation.terminology import Find, Terminology
from conformance.validation.tree import Node

_NOTHING: Json = {}
_RESOURCES = frozenset(resource_types())
# A definition without a name can't be published, but it says what it says all the same.
_TOLD: Json = {"name": "Unnamed", "status": "unknown", "abstract": False}
_TYPE_URLS = frozenset(TYPE_BASE + name for name in types())


class Plans:
    """Plans of types and profiles. ``find`` gives StructureDefinitions beyond those of FHIR itself."""

    def __init__(self, find: Find, terminology: Terminology) -> None:
        self._find = find
        self.terminology = terminology
        self._types: dict[str, TypePlan] = {}
        self._profiles: dict[str, ProfilePlan | None] = {}
        self._notes: dict[str, list[str]] = {}
        self.compiling = RLock()

    def type_plan(self, name: str) -> TypePlan:
        """Return the plan of a type of FHIR, by name or path (``Patient.contact``)."""
        plan = self._types.get(name)
        if plan is None:
            plan = self._types[name] = TypePlan(name, self)
        return plan

    def resolve(self, reference: str, run: Run) -> Json | None:
        """Return the resource that a reference means; None if it isn't at hand."""
        return resolve(reference, run)

    def hooks(self, run: Run) -> Hooks:
        """Return what FHIRPath functions may ask."""
        return Hooks(
            member_of=lambda value, value_set: is_bound((value, None, "", run.where), value_set, self.terminology),
            conforms_to=lambda resource, profile: self.conforms(root_item(resource), profile, run),
        )

    def base_element(self, type_name: str, element: str | None = None) -> Json:
        """Return the ElementDefinition of a type or of an element of it, as FHIR itself has it; empty if it has none."""
        path = type_name if element is None else f"{type_name}.{element}"
        found = _base_elements(type_name.partition(".")[0])
        return found.get(path) or found.get(f"{path}[x]") or _NOTHING

    def _structure(self, canonical: str) -> tuple[Json | None, list[str]]:
        """Return a StructureDefinition with a snapshot, if there is one, and what has to be said about it."""
        found = self._find("StructureDefinition", canonical) or find_structure(canonical)
        if found is None:
            return None, []
        if found.get("snapshot", _NOTHING).get("element"):
            return found, []
        known, foreign = _without_foreign(found)
        made = generate({**_TOLD, **known}, self._told)
        notes = [f"{canonical} has {name}, which FHIR R4 does not define, so it is not checked" for name in foreign]
        if "snapshot" not in made.structure:
            return None, [f"{canonical} can't be used: {issue.diagnostics}" for issue in made.issues]
        return made.structure, notes

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return a definition of a canonical URL, FHIR's own included; None if it is not known."""
        return self._find(resource_type, canonical) or find_definition(resource_type, canonical)

    def snapshot_issues(self, structure: Json) -> list[Issue]:
        """Return what is wrong with a StructureDefinition's differential."""
        return generate({**_TOLD, **structure}, self._told).issues

    def _told(self, resource_type: str, canonical: str) -> Json | None:
        found = self.find(resource_type, canonical)
        return found if found is None else {**_TOLD, **found}

    def profile(self, canonical: str) -> ProfilePlan | None:
        """Return the plan of a profile or of an extension, None if it is not known or has no snapshot."""
        if canonical not in self._profiles:
            url, _, element = canonical.partition("#")
            structure, self._notes[canonical] = self._structure(url)
            self._profiles[canonical] = None if structure is None else compile_profile(structure, element, self)
        return self._profiles[canonical]

    def root(self, canonical: str) -> Node | None:
        """Return the root of a profile's tree, None if it is not known."""
        plan = self.profile(canonical)
        return None if plan is None else plan.root

    def extension(self, url: str) -> ProfilePlan | None:
        """Return the plan of an extension, None if its url is not that of one."""
        plan = self.profile(url)
        return plan if plan is not None and plan.root.types == ("Extension",) else None

    def check_resource(self, resource: Json, where: Where, run: Run, profiles: Iterable[str] = ()) -> None:
        """Report what is wrong with a resource by its type, the profiles it claims, and others it is held against."""
        name = resource.get("resourceType")
        if type(name) is not str or name not in _RESOURCES:
            return
        self.type_plan(name).check(resource, where, run)
        for rule in RESOURCE_RULES:
            rule(resource, where, run)
        meta = resource.get("meta")
        claimed = meta.get("profile") if type(meta) is dict else None
        item = (resource, None, name, where)
        for index, canonical in enumerate(claimed if type(claimed) is list else ()):
            if type(canonical) is str:
                self._check_claim(canonical, item, run, ((where, "meta", None), "profile", index))
        for canonical in (*profiles, *run.policy.profiles.get(name, ())):
            self.check_profile(canonical, item, run, where)

    def _check_claim(self, canonical: str, item: Item, run: Run, claim: Where) -> None:
        if self.profile(canonical) is None:
            reason = "; ".join(self._notes[canonical]) or f"The profile {canonical} is not known here"
            message = f"{reason}, so nothing was held against it (profile)"
            run.report("warning", "not-found", message, claim)
        else:
            self.check_profile(canonical, item, run, item[3])

    def check_profile(self, canonical: str, item: Item, run: Run, where: Where) -> None:
        """Report what is wrong with an item by a profile; a profile that is not known is an error at ``where``."""
        if canonical in _TYPE_URLS and canonical.removeprefix(TYPE_BASE) == item[2]:
            return
        plan = self.profile(canonical)
        for note in self._notes[canonical]:
            run.report("warning", "not-supported", f"{note} (profile)", where)
        if plan is None:
            message = f"The profile {canonical} can't be used here, so it cannot be told whether it is met (profile)"
            run.report("error", "not-found", message, where)
            return
        place = (id(item[0]), canonical)
        if place not in run.seen:
            run.seen.add(place)
            plan.check(item, run)

    def check_any_profile(self, item: Item, canonicals: Iterable[str], run: Run) -> None:
        """Report an item that conforms to none of several profiles; where there is one, say why."""
        listed = list(canonicals)
        if len(listed) == 1:
            self.check_profile(listed[0], item, run, item[3])
        elif not any(self.conforms(item, canonical, run) for canonical in listed):
            message = f"This conforms to none of the profiles {', '.join(listed)} (profile)"
            run.report("error", "structure", message, item[3])

    def conforms(self, item: Item, canonical: str, run: Run) -> bool:
        """Tell whether an item meets a profile, without reporting."""
        place = (id(item[0]), canonical)
        if place in run.seen:
            # It is being checked further up, or was reported already.
            return True
        plan = self.profile(canonical)
        if plan is None:
            return canonical == TYPE_BASE + item[2]
        run.seen.add(place)
        try:
            issues = run.trial(lambda: plan.check(item, run))
        finally:
            run.seen.discard(place)
        return not any(issue.severity in ("error", "fatal") for issue in issues)


def _without_foreign(structure: Json) -> tuple[Json, list[str]]:
    """Return a StructureDefinition without what R4's ElementDefinition doesn't have, and the names of that."""
    differential = structure.get("differential")
    elements = differential.get("element") if type(differential) is dict else None
    if type(elements) is not list:
        return structure, []
    known = property_names("ElementDefinition")
    foreign = {f"{e.get('path')}.{name}": None for e in elements if type(e) is dict for name in e if name not in known}
    kept = [{n: v for n, v in e.items() if n in known} if type(e) is dict else e for e in elements]
    return {**structure, "differential": {"element": kept}}, list(foreign)


@cache
def _base_elements(type_name: str) -> MappingProxyType[str, Json]:
    """Return the ElementDefinitions of a type of FHIR itself by path."""
    structure = find_structure(TYPE_BASE + type_name)
    elements = structure["snapshot"]["element"] if structure else []
    return MappingProxyType({element["path"]: element for element in elements})
