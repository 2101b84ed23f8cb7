"""What a composite parameter combines on a resource type, https://hl7.org/fhir/R4/searchparameter.html (component).

Each branch of its expression is a context. Where that can only be there once (the resource itself), the parts are what
regular parameters index anyway, so a search for all of them together does. Where it repeats (``Observation.component``)
the parts have to belong to the same element, which takes entries of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from conformance.definitions import Element, types
from fhir_server.search.paths import as_fhirpath, branches, split_union
from fhir_server.search.registry import Parameter, SearchParameters

_ABSTRACT = ("Resource", "DomainResource")
_OF_RESOURCE = "%resource."
_PATH = re.compile(r"\w+(\.\w+)*")
_CAST = re.compile(r"\(?([\w.]+) as (\w+)\)?")
_OF_TYPE = re.compile(r"\.ofType\(")
_POINTERS = frozenset(("Reference", "canonical", "uri", "url", "oid", "uuid"))
# No parameter has entries for these, so it makes no difference whether a parameter reads them.
_WITHOUT_ENTRIES = ".as(sampleddata)"


@dataclass(frozen=True, slots=True)
class Part:
    """A component: what is read, from the context's element, and the parameter that says how it is compared."""

    expression: str
    parameter: Parameter


@dataclass(frozen=True, slots=True)
class Together:
    """A context that occurs once: the regular parameters that all have to match, in the order of the components."""

    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Tuples:
    """A context that repeats. ``name`` is that of the place of its entries, which composites may share.

    ``expression`` leads to the elements; it is None for the resource itself. ``keys`` are JSON properties of which one
    must be there. ``parts`` has a regular parameter in place of a component that belongs to the whole resource.
    """

    name: str
    expression: str | None
    keys: tuple[str, ...]
    parts: tuple[Part | Parameter, ...]


Context = Together | Tuples
_known: WeakKeyDictionary[SearchParameters, dict[tuple[str, str], tuple[Context, ...]]] = WeakKeyDictionary()


def contexts(parameter: Parameter, parameters: SearchParameters) -> tuple[Context, ...]:
    """Return the contexts of a composite parameter; none when a component isn't known or has no expression."""
    known = _known.setdefault(parameters, {})
    place = parameter.resource_type, parameter.code
    if place not in known:
        known[place] = tuple(_contexts(parameter, parameters))
    return known[place]


def _contexts(parameter: Parameter, parameters: SearchParameters) -> list[Context]:
    found: list[Context] = []
    for text in split_union(as_fhirpath(parameter.definition.expression or "")):
        root, dot, rest = text.partition(".")
        if root in (parameter.resource_type, *_ABSTRACT):
            path = f"{parameter.resource_type}{dot}{rest}"
        elif root in types():
            continue
        else:
            path = f"{parameter.resource_type}.{text}"
        context = _context(path, parameter, parameters)
        if context is not None:
            found.append(context)
    return found


def _context(path: str, parameter: Parameter, parameters: SearchParameters) -> Context | None:
    elements = _elements(path)
    parts = _parts(path, parameter, parameters)
    if parts is None:
        return None
    regular = [_regular(path, part, parameters) for part in parts]
    once = elements is not None and not any(element.is_list for element in elements)
    if once and all(regular):
        return Together(tuple(p for p in regular if p is not None))
    mixed: list[Part | Parameter] = []
    for part, same in zip(parts, regular, strict=True):
        if not part.expression.startswith(_OF_RESOURCE):
            mixed.append(part)
        elif same is not None:
            mixed.append(same)
        else:
            return None
    inner = [part for part in mixed if isinstance(part, Part)]
    name = "$".join([path, *(f"{part.parameter.type}:{_normal(part.expression)}" for part in inner)])
    own = path if "." in path else None
    return Tuples(name, own, _keys(path, inner[-1].expression) if inner else (), tuple(mixed))


def _parts(path: str, parameter: Parameter, parameters: SearchParameters) -> list[Part] | None:
    known = parameters.of(parameter.resource_type)
    parts = []
    for url, expression in parameter.definition.component:
        definition = parameters.by_url(url.partition("|")[0])
        compared = known.get(definition.code) if definition is not None else None
        if compared is None or not compared.indexed or compared.type == "composite":
            return None
        parts.append(Part(as_fhirpath(expression), compared))
    return [Part(part.expression, _fitting(path, part, parts)) for part in parts]


def _fitting(path: str, part: Part, parts: list[Part]) -> Parameter:
    """Return the parameter that suits what a component reads: R4 has swapped those of DocumentReference's relationship."""
    elements = _elements(f"{path}.{part.expression}")
    if not elements:
        return part.parameter
    points = bool(_POINTERS.intersection(elements[-1].types))
    for candidate in (part, *parts):
        if (
            candidate.parameter.type not in ("reference", "token")
            or (candidate.parameter.type == "reference") == points
        ):
            return candidate.parameter
    return part.parameter


def _elements(path: str) -> list[Element] | None:
    """Return the elements on a plain path, without its root; None when it isn't one."""
    if not _PATH.fullmatch(path):
        return None
    type_name, *names = path.split(".")
    found: list[Element] = []
    for name in names:
        element = types()[type_name].elements.get(name) if type_name in types() else None
        if element is None:
            return None
        found.append(element)
        type_name = element.types[0]
    return found


def _keys(path: str, expression: str) -> tuple[str, ...]:
    """Return the JSON properties that a context starts from, or what is read of the resource itself."""
    resource_type, dot, _ = path.partition(".")
    texts = (path,) if dot else tuple(f"{path}.{text}" for text in split_union(expression))
    return tuple(key for text in texts for branch in branches(text, resource_type) for key in branch.keys or ())


def _normal(expression: str) -> str:
    """Return an expression in the one form that equal ones have; official ones differ in the case of type names."""
    return _OF_TYPE.sub(".as(", _CAST.sub(r"\1.as(\2)", expression)).strip().lower()


def _regular(path: str, part: Part, parameters: SearchParameters) -> Parameter | None:
    """Return the parameter of the type that indexes exactly what a component reads, in the way it is compared."""
    resource_type = path.partition(".")[0]
    texts = [
        f"{resource_type}.{text.removeprefix(_OF_RESOURCE)}" if text.startswith(_OF_RESOURCE) else f"{path}.{text}"
        for text in split_union(part.expression)
    ]
    wanted = {_normal(text) for text in texts}
    known: Mapping[str, Parameter] = parameters.of(resource_type)
    for candidate in (part.parameter, *known.values()):
        read = {_normal(branch.expression) for branch in candidate.branches}
        same = candidate.type == part.parameter.type and wanted <= read
        if same and candidate.indexed and all(text.endswith(_WITHOUT_ENTRIES) for text in read - wanted):
            return candidate
    return None
