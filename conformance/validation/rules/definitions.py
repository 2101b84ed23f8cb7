"""Definitions: what they take from other definitions agrees with these.

https://hl7.org/fhir/R4/searchparameter.html, https://hl7.org/fhir/R4/capabilitystatement.html and
https://hl7.org/fhir/R4/structuredefinition.html.
"""

from __future__ import annotations

from conformance.definitions import types
from conformance.fhirpath.model import ancestors
from conformance.primitives import describe
from conformance.validation.discriminators import parse_path
from conformance.validation.limits import show
from conformance.validation.run import Json, Run, Where
from conformance.validation.tree import Node
from conformance.validation.values import fits, is_same

_ABSTRACT = frozenset({"Resource", "DomainResource", "Element", "BackboneElement"})
_ANY = frozenset({"Resource", "DomainResource"})
_OBLIGATION_PROFILE = "http://hl7.org/fhir/StructureDefinition/obligation-profile"
_OBLIGATIONS = frozenset({"id", "path", "extension", "mustSupport"})


def check_search_parameter(parameter: Json, where: Where, run: Run) -> None:
    """Report a CapabilityStatement's search parameter whose type is not that of its definition."""
    canonical = parameter.get("definition")
    definition = run.plans.find("SearchParameter", canonical) if type(canonical) is str else None
    if definition is not None and definition.get("type") != parameter.get("type"):
        message = f"{canonical} is of type {definition.get('type')}, not {parameter.get('type')} (searchparam-type)"
        run.report("error", "value", message, (where, "type", None))


def check_derived_parameter(parameter: Json, where: Where, run: Run) -> None:
    """Report a SearchParameter whose type or bases are not those of what it is derived from."""
    canonical = parameter.get("derivedFrom")
    origin = run.plans.find("SearchParameter", canonical) if type(canonical) is str else None
    if origin is None:
        return
    if origin.get("type") != parameter.get("type"):
        message = f"{canonical} is of type {origin.get('type')}, so what is derived from it is too (derived-type)"
        run.report("error", "value", message, (where, "type", None))
    bases = parameter.get("base")
    known = origin.get("base", ())
    for index, base in enumerate(bases if type(bases) is list else ()):
        if base not in known and "Resource" not in known:
            message = f"{canonical} is about {', '.join(known)}, so what is derived from it can't be about {base}"
            run.report("error", "value", f"{message} (derived-base)", (where, "base", index))


def check_structure_definition(definition: Json, where: Where, run: Run) -> None:
    """Report a profile from whose differential no snapshot follows, and what in it contradicts other definitions."""
    if definition.get("derivation") != "constraint" or type(definition.get("differential")) is not dict:
        return
    for issue in run.plans.snapshot_issues(definition):
        run.report(issue.severity, issue.code, f"{issue.diagnostics} (snapshot)", where)
    canonical = definition.get("baseDefinition")
    root = run.plans.root(canonical) if type(canonical) is str else None
    listed = definition["differential"].get("element")
    for index, element in enumerate(listed if type(listed) is list else ()):
        if type(element) is dict and type(element.get("path")) is str:
            place = ((where, "differential", None), "element", index)
            _check_types(element, place, run)
            if root is not None:
                _check_fixed(element, root, place, run)
                _check_discriminators(element, root, place, run)
            if _is_obligation_profile(definition) and not element.keys() <= _OBLIGATIONS:
                added = ", ".join(sorted(element.keys() - _OBLIGATIONS))
                message = f"A profile of obligations adds nothing else, but here is {added} (obligation-profile)"
                run.report("error", "business-rule", message, place)


def _is_obligation_profile(definition: Json) -> bool:
    extensions = definition.get("extension")
    return any(
        type(e) is dict and e.get("url") == _OBLIGATION_PROFILE and e.get("valueBoolean") is True
        for e in (extensions if type(extensions) is list else ())
    )


def _nodes(path: str, root: Node) -> list[Node]:
    """Return the element of a base at a path, if it has one there."""
    nodes = [root]
    for name in path.split(".")[1:]:
        nodes = [n.children[key] for n in nodes if (key := name.removesuffix("[x]")) in n.children]
    return nodes


def _check_fixed(element: Json, root: Node, where: Where, run: Run) -> None:
    """Report a fixed value in place of another that the base fixes."""
    own = Node(element, "", ()).fixed()
    if own is None or "sliceName" in element or ":" in str(element.get("id", "")):
        return
    for node in _nodes(element["path"], root):
        before = node.fixed()
        if before is not None and not (fits if before[1] else is_same)(own[0], before[0]):
            message = f"The base has the value {show(before[0])} here, so it can't be {show(own[0])} (fixed)"
            run.report("error", "value", message, where)


def _check_discriminators(element: Json, root: Node, where: Where, run: Run) -> None:
    """Report discriminators that lead nowhere."""
    slicing = element.get("slicing")
    discriminators = slicing.get("discriminator") if type(slicing) is dict else None
    for index, discriminator in enumerate(discriminators if type(discriminators) is list else ()):
        path = discriminator.get("path") if type(discriminator) is dict else None
        steps = parse_path(path) if type(path) is str else None
        place = ((where, "slicing", None), "discriminator", index)
        if steps is None:
            message = f"A discriminator can't have the path {describe(path)} (discriminator)"
            run.report("error", "value", message, place)
            continue
        names = [step.text for step in steps if step.kind == "name"]
        if len(names) < len(steps):
            continue  # beyond resolve() or extension() lies what the element's own type does not tell
        owners = [kind for node in _nodes(element["path"], root) for kind in node.types]
        for name in names:
            if not owners or _ANY & set(owners):
                break
            owners = [kind for owner in owners if owner in types() for kind in _kinds(owner, name)]
            if not owners:
                message = f"The discriminator's path {path} leads nowhere: there is no {name} (discriminator)"
                run.report("error", "value", message, place)


def _kinds(owner: str, name: str) -> tuple[str, ...]:
    element = types()[owner].elements.get(name)
    return element.types if element is not None else ()


def _check_types(element: Json, where: Where, run: Run) -> None:
    listed = element.get("type")
    for index, type_ in enumerate(listed if type(listed) is list else ()):
        if type(type_) is not dict:
            continue
        profiles = type_.get("profile")
        for place, canonical in enumerate(profiles if type(profiles) is list else ()):
            root = run.plans.root(canonical) if type(canonical) is str else None
            about = root.types[0] if root is not None else None
            code = str(type_.get("code"))
            # A profile may be on a resource where any is allowed, but an own type (Count) is none on another (Quantity).
            if about is None or "." in about or code == about or code in _ABSTRACT & ancestors(about):
                continue
            message = f"{canonical} is about {about}, so it is no profile on {code} (type-profile)"
            run.report("error", "value", message, ((where, "type", index), "profile", place))
