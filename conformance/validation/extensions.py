"""Extensions: known, allowed where they are, and as their definitions say, https://hl7.org/fhir/R4/extensibility.html."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import Any

from conformance.definitions import types
from conformance.fhirpath import FHIRPathError, evaluate
from conformance.fhirpath.model import ancestors
from conformance.primitives import describe
from conformance.structures import TYPE_BASE
from conformance.validation.items import item_at
from conformance.validation.run import Json, Run, Where

# Where FHIR's own definitions have these extensions, all through 4.0.1, against the contexts that these declare.
_ERRATA = MappingProxyType(
    {
        f"{TYPE_BASE}structuredefinition-fhir-type": frozenset({"ElementDefinition.type"}),
        f"{TYPE_BASE}structuredefinition-normative-version": frozenset({"Element"}),
        f"{TYPE_BASE}regex": frozenset({"ElementDefinition.type", "ElementDefinition.type.code"}),
    }
)


def check_extensions(value: Any, where: Where, run: Run, *, modifier: bool) -> None:
    """Report what is wrong with the extensions of an element."""
    if type(value) is not list:
        return
    name = "modifierExtension" if modifier else "extension"
    plan = run.plans.type_plan("Extension")
    for index, extension in enumerate(value):
        if type(extension) is not dict:
            continue
        here = (where, name, index)
        plan.check(extension, here, run)
        url = extension.get("url")
        if type(url) is str and url:
            _check_extension(extension, url, where, here, run, modifier=modifier)


def _check_extension(extension: Json, url: str, owner: Where, where: Where, run: Run, *, modifier: bool) -> None:
    if ":" not in url:
        # Parts of a complex extension go by names, which mean something within that extension only.
        if owner[1] not in ("extension", "modifierExtension"):
            run.report(
                "error", "invalid", f"The url of an extension is absolute, not {describe(url)} (extension-url)", where
            )
        return
    profile = run.plans.extension(url)
    if profile is None:
        _report_unknown(url, where, run, modifier=modifier)
        return
    if profile.is_modifier != modifier:
        kind, name = ("not a modifier", "modifierExtension") if modifier else ("a modifier", "extension")
        run.report("error", "structure", f"{url} is {kind}, so it does not belong into {name} (extension)", where)
    profile.check((extension, None, "Extension", where), run)
    _check_context(profile.structure, url, owner, run, where)


def _report_unknown(url: str, where: Where, run: Run, *, modifier: bool) -> None:
    if url.startswith(TYPE_BASE):
        # FHIR's own namespace is closed: all there is in R4 is at hand, but what later versions added is not.
        run.report("warning", "extension", f"FHIR R4 defines no extension {url} (extension-unknown)", where)
    elif modifier:
        message = f"The modifier extension {url} is not known here, so what it modifies cannot be understood safely"
        run.report("warning", "extension", f"{message} (extension-unknown)", where)
    else:
        run.report("information", "extension", f"The extension {url} is not known here (extension-unknown)", where)


def _check_context(definition: Json, url: str, owner: Where, run: Run, where: Where) -> None:
    """Report an extension on an element that its definition does not name, or where an invariant of it fails."""
    contexts = definition.get("context", ())
    allowed_besides = _ERRATA.get(url, frozenset())
    if (
        contexts
        and not any(_is_context(context, owner, run) for context in contexts)
        and allowed_besides.isdisjoint(_places(owner, run))
    ):
        allowed = ", ".join(str(context.get("expression")) for context in contexts)
        message = f"The extension {url} is not allowed here, only on {allowed} (extension-context)"
        run.report("error", "structure", message, where)
    for invariant in definition.get("contextInvariant", ()):
        try:
            met = evaluate(invariant, run.scope.resource, resolve=run.resolve, hooks=run.hooks)
        except FHIRPathError as error:
            run.report("warning", "exception", f"{invariant} could not be evaluated: {error} (contextInvariant)", where)
            continue
        if met and met != [True]:
            run.report("error", "invariant", f"{url} is not allowed where not {invariant} (contextInvariant)", where)


def _is_context(context: Json, owner: Where, run: Run) -> bool:
    kind, expression = context.get("type"), str(context.get("expression"))
    if kind == "element":
        # The id of an element ("Patient.name:official") means a slice of a profile: its path is what can be told here.
        path = expression.rpartition("#")[2]
        return ".".join(part.partition(":")[0] for part in path.split(".")) in _places(owner, run)
    resource = (run.scope.resource, None, "Resource", run.where)
    found = item_at(owner, resource)
    if found is None:
        return False
    value = found[1] if type(found[0]) is not dict else found[0]
    if kind == "extension":
        return type(value) is dict and value.get("url") == expression
    try:
        selected = evaluate(expression, run.scope.resource, resolve=run.resolve, hooks=run.hooks)
    except FHIRPathError:
        return False
    return any(one is value or one is found[0] or one == found[0] for one in selected)


def _places(owner: Where, run: Run) -> frozenset[str]:
    """Return all by which a definition may name the owner of an extension."""
    names: list[str] = []
    place = owner
    while place != run.where:
        names.append(place[1])
        place = place[0]
    return _names_of((str(run.scope.resource.get("resourceType")), *reversed(names)))


@lru_cache(maxsize=4096)
def _names_of(names: tuple[str, ...]) -> frozenset[str]:
    """Return the names of what is at the end of a path that begins with the type of a resource.

    Every type on the way begins one: ``Patient.contact.name``, ``HumanName``, ``Element``.
    """
    # Each name with the types that what it names may have.
    named = {name: frozenset({names[0]}) for name in (*ancestors(names[0]), "Element")}
    for name in names[1:]:
        grown: dict[str, frozenset[str]] = {}
        for path, kinds in named.items():
            for kind in kinds:
                known = types().get(kind)
                element = known.elements.get(name) if known else None
                if element is not None:
                    grown[f"{path}.{name}"] = grown[f"{path}.{name}[x]" if element.choice else f"{path}.{name}"] = (
                        frozenset(element.types)
                    )
        every = frozenset().union(*grown.values())
        named = grown | {above: frozenset({kind}) for kind in every for above in ancestors(kind)}
    return frozenset(named)
