"""SearchParameters that a tenant stores, https://hl7.org/fhir/R4/searchparameter.html: what can be used, and what can't.

In force are those of status active or draft. One that means what a standard parameter of its code means adds nothing
and is served by that; one that means something else under such a code is no parameter here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.definitions import SearchParameter, resource_types
from conformance.fhirpath import FHIRPathError, compile_path, parse
from conformance.issues import InvalidResource, Issue
from fhir_server.search.paths import as_fhirpath
from fhir_server.search.registry import INDEXED_TYPES, Parameter, SearchParameters, applied, searched_as, standard

log = logging.getLogger("praxis.search")

IN_FORCE = frozenset(("active", "draft"))
# What separates codes, modifiers, chain steps and values in a query can't be in a code.
_CODE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_\-]*")
_ABSTRACT = frozenset(("Resource", "DomainResource"))
_TYPES = frozenset(resource_types())
_USAGES = frozenset(("normal", "phonetic", "nearby"))
_LONGEST_EXPRESSION = 20_000


@dataclass(frozen=True, slots=True)
class UserParameter:
    """A SearchParameter resource that is in force, at one of its versions."""

    id: str
    version: int
    definition: SearchParameter


def is_in_force(resource: Mapping[str, Any]) -> bool:
    """Tell whether a SearchParameter resource asks to be used."""
    return resource.get("status") in IN_FORCE


def definition_of(resource: Mapping[str, Any]) -> SearchParameter:
    """Return the facts of a SearchParameter resource; what is left out is empty."""
    return SearchParameter(
        url=resource.get("url", ""),
        code=resource.get("code", ""),
        type=resource.get("type", ""),
        base=tuple(dict.fromkeys(resource.get("base", ()))),
        expression=resource.get("expression"),
        target=tuple(resource.get("target", ())),
        component=tuple((c.get("definition", ""), c.get("expression", "")) for c in resource.get("component", ())),
        description=resource.get("description", ""),
        usage=resource.get("xpathUsage", "normal"),
    )


def check(resource: Mapping[str, Any], parameters: SearchParameters) -> None:
    """Raise InvalidResource when an active SearchParameter can't be used; a draft may be unfinished.

    ``parameters`` are those of its tenant.
    """
    if resource.get("status") == "active":
        issues = list(find_issues(definition_of(resource), parameters, resource.get("id")))
        if issues:
            raise InvalidResource(issues)


def extend(
    users: Sequence[UserParameter], indexed: Mapping[tuple[str, str], int], behind: frozenset[str]
) -> SearchParameters:
    """Return the standard parameters and those of ``users`` that can be used; of two that clash the first one counts.

    ``indexed`` says at which version of which SearchParameter (resource type, id) all resources of a type were indexed;
    ``behind`` are the types that an older format of the index still holds.
    """
    definitions: list[SearchParameter] = []
    owners: dict[tuple[str, str], str] = {}
    incomplete: set[tuple[str, str]] = set()
    parameters = standard()
    # Composites come last, since they refer to others.
    for user in sorted(users, key=lambda u: bool(u.definition.component)):
        definition = user.definition
        issues = list(find_issues(definition, parameters, user.id))
        if issues:
            log.debug("SearchParameter/%s can't be used: %s", user.id, "; ".join(i.diagnostics for i in issues))
            continue
        added = _added(definition, parameters)
        if not added:
            continue
        definitions.append(replace(definition, base=added))
        for resource_type in types_of(added):
            owners[resource_type, definition.code] = user.id
            if indexed.get((resource_type, user.id)) != user.version:
                incomplete.add((resource_type, definition.code))
        parameters = SearchParameters(definitions, extends=standard(), owners=owners)
    if not definitions and not behind:
        return standard()
    return SearchParameters(
        definitions, extends=standard(), incomplete=frozenset(incomplete), behind=behind, owners=owners
    )


def types_of(base: Iterable[str]) -> Iterator[str]:
    """Yield the resource types that a SearchParameter is for."""
    for name in base:
        if name in _ABSTRACT:
            yield from resource_types()
        elif name in _TYPES:
            yield name


def _added(definition: SearchParameter, parameters: SearchParameters) -> tuple[str, ...]:
    """Return the bases for which the parameter isn't there already, with its meaning."""
    return tuple(
        base for base in definition.base if any(definition.code not in parameters.of(t) for t in types_of((base,)))
    )


def find_issues(definition: SearchParameter, parameters: SearchParameters, id_: str | None) -> Iterator[Issue]:
    """Yield why a SearchParameter can't be used beside the ``parameters`` that are there.

    ``id_`` is that of its resource, of which an earlier version may be among them.
    """
    yield from _find_type_issues(definition)
    bases = [base for base in definition.base if base in _TYPES | _ABSTRACT]
    for number, base in enumerate(definition.base):
        if base not in bases:
            yield _issue("code-invalid", f"'{base}' is no resource type of FHIR R4.", f"base[{number}]")
    for number, target in enumerate(definition.target):
        if target not in _TYPES:
            yield _issue("code-invalid", f"'{target}' is no resource type of FHIR R4.", f"target[{number}]")
    expressions = list(_find_expression_issues(definition, bases, parameters))
    yield from expressions
    if not expressions:
        yield from _find_clashes(definition, bases, parameters, id_)


def _find_type_issues(definition: SearchParameter) -> Iterator[Issue]:
    if not _CODE.fullmatch(definition.code):
        text = "A code consists of letters, digits, '-' and '_'; other characters mean something in a query."
        yield _issue("business-rule", text, "code")
    if definition.usage not in _USAGES:
        text = f"How search parameters of xpathUsage {definition.usage} compare isn't known here."
        yield _issue("business-rule", text, "xpathUsage")
    elif searched_as(definition) not in INDEXED_TYPES:
        yield _issue("business-rule", f"Search parameters of type {definition.type} can't be defined here.", "type")


def _find_expression_issues(
    definition: SearchParameter, bases: Sequence[str], parameters: SearchParameters
) -> Iterator[Issue]:
    text = definition.expression
    if definition.type == "composite":
        yield from _find_component_issues(definition, parameters)
    if text is None:
        yield _issue("business-rule", "Without an expression a search parameter finds nothing.", "expression")
        return
    if len(text) > _LONGEST_EXPRESSION:
        yield _issue("business-rule", f"The expression is longer than {_LONGEST_EXPRESSION} characters.", "expression")
        return
    try:
        parse(as_fhirpath(text))
    except (FHIRPathError, RecursionError) as error:
        yield _issue("invariant", f"The expression is not FHIRPath: {error}", "expression")
        return
    for base in bases:
        reason = _refuse_expression(definition, next(types_of((base,))))
        if reason:
            yield _issue("invariant", f"The expression can't be used for {base}: {reason}", "expression")


def _refuse_expression(definition: SearchParameter, resource_type: str) -> str | None:
    """Return why a parameter's expression gives nothing for a type, or None when it does."""
    if definition.type == "composite":
        return None
    parameter = applied(definition, resource_type)
    if not parameter.branches:
        return "none of its parts starts there"
    for branch in parameter.branches:
        try:
            compile_path(branch.expression, resource_type)
        except (FHIRPathError, RecursionError) as error:
            return str(error)
    return None


def _find_component_issues(definition: SearchParameter, parameters: SearchParameters) -> Iterator[Issue]:
    if not definition.component:
        yield _issue("business-rule", "A composite search parameter needs components.", "component")
    for number, (url, expression) in enumerate(definition.component):
        where = f"component[{number}]"
        if parameters.by_url(url.partition("|")[0]) is None:
            yield _issue("business-rule", f"The search parameter {url[:200]} is not known here.", f"{where}.definition")
        try:
            parse(as_fhirpath(expression))
        except (FHIRPathError, RecursionError) as error:
            yield _issue("invariant", f"The expression is not FHIRPath: {error}", f"{where}.expression")


def _find_clashes(
    definition: SearchParameter, bases: Sequence[str], parameters: SearchParameters, id_: str | None
) -> Iterator[Issue]:
    clashes: dict[str, str] = {}
    for resource_type in dict.fromkeys(types_of(bases)):
        other = parameters.of(resource_type).get(definition.code)
        if other is None or (id_ is not None and parameters.owners.get((resource_type, definition.code)) == id_):
            continue
        if not _is_the_same(definition, other):
            clashes.setdefault(other.definition.url, resource_type)
    for url, resource_type in clashes.items():
        text = f"On {resource_type} the code '{definition.code}' belongs to {url}, which means something else."
        yield _issue("business-rule", text, "code")
    if not clashes and definition.code.startswith("_") and _added(definition, parameters):
        yield _issue("business-rule", "Codes that begin with '_' are those of the specification.", "code")


def _is_the_same(definition: SearchParameter, other: Parameter) -> bool:
    """Tell whether a definition means the same as the parameter of its code."""
    mine = applied(definition, other.resource_type)
    return mine.type == other.type and _meaning(mine) == _meaning(other)


def _meaning(parameter: Parameter) -> tuple[Any, ...]:
    expressions = frozenset(_plain(branch.expression, parameter.resource_type) for branch in parameter.branches)
    return expressions, parameter.definition.component if parameter.type == "composite" else ()


def _plain(expression: str, resource_type: str) -> str:
    """Return an expression without what makes no difference: its white space, parentheses around it, an abstract root."""
    text = " ".join(expression.split())
    while text.startswith("(") and text.endswith(")") and text.count("(") == 1:
        text = text[1:-1].strip()
    root, dot, rest = text.partition(".")
    text = f"{resource_type}{dot}{rest}" if root in _ABSTRACT else text
    # ``x as T`` and ``x.as(T)`` are two ways to write one thing.
    return re.sub(r"^(\S+) as (\w+)$", r"\1.as(\2)", text)


def _issue(code: str, text: str, place: str) -> Issue:
    return Issue("error", code, text, f"SearchParameter.{place}")
