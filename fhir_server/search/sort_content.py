"""Sort values from the stored JSON, for parameters without an ordered index, https://hl7.org/fhir/R4/search.html#sort.

Tokens, references and URIs are indexed by hashes, which have no order. Rows for their order would cost every write, so
it is computed when asked for: the parameter's FHIRPath, as far as it is a path, becomes SQL over the JSON. A code sorts
by its code, an identifier or contact point by its value, a reference and a URI as they are written; all by code point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from conformance.definitions import Element, types
from conformance.fhirpath import Expression, parse
from conformance.fhirpath.syntax import Binary, Invocation, Literal, Member, TypeOperation, qualified_name
from fhir_server.search.errors import Unsupported
from fhir_server.search.registry import Parameter

CONTENT = "\x00"
"""Stands in the SQL for the resource as json: a character that neither SQL nor a definition can hold."""
_TEXTS = frozenset(("code", "string", "id", "uri", "url", "canonical", "oid", "uuid", "markdown", "boolean"))
# Where the text to sort by is, below a value of each type.
_LEAVES: dict[str, tuple[str, ...]] = {
    "CodeableConcept": ("coding", "code"),
    "Coding": ("code",),
    "Identifier": ("value",),
    "ContactPoint": ("value",),
    "Reference": ("reference",),
}


class _NotAPath(Exception):
    """The expression is more than a path."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """A way from the root: the FHIR type it has reached, the FROM items and tests so far, and its SQL, perhaps an array."""

    type_name: str
    value: str
    repeats: bool = False
    sources: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()

    def step(self, name: str) -> Iterator[_Walk]:
        """Yield the ways on to an element, one for each type that it may have."""
        here = self.item()
        for key, type_name, element in _properties(here.type_name, name):
            yield replace(here, type_name=type_name, value=f"{here.value} -> {_quote(key)}", repeats=element.is_list)

    def item(self) -> _Walk:
        """Return the way to each single value."""
        if not self.repeats:
            return self
        name = f"e{len(self.sources)}"
        source = f"json_array_elements({self.value}) {name}(v)"
        return replace(self, value=f"{name}.v", repeats=False, sources=(*self.sources, source))

    def where(self, test: Callable[[str], str]) -> _Walk:
        """Return the way to the values that pass a test, which is made of the value's SQL."""
        here = self.item()
        return replace(here, tests=(*here.tests, test(f"({here.value})")))

    def texts(self) -> Iterator[str]:
        """Yield the SELECTs of the texts that values here are sorted by; none for a type without one, in a choice."""
        if self.type_name == "Extension":
            for walk in self.step("value"):
                if walk.type_name in _LEAVES or walk.type_name in _TEXTS:
                    yield from walk.texts()
        elif self.type_name in _LEAVES:
            *steps, last = _LEAVES[self.type_name]
            walks = [self]
            for name in steps:
                walks = [further for walk in walks for further in walk.step(name)]
            for walk in walks:
                here = walk.item()
                yield here._select(f"{here.value} ->> {_quote(last)}")
        elif self.type_name in _TEXTS:
            if self.repeats:
                name = f"e{len(self.sources)}"
                source = f"json_array_elements_text({self.value}) {name}(v)"
                yield replace(self, sources=(*self.sources, source))._select(f"{name}.v")
            else:
                yield self._select(f"({self.value}) #>> '{{}}'")

    def _select(self, text: str) -> str:
        sources = f" FROM {', '.join(self.sources)}" if self.sources else ""
        tests = f" WHERE {' AND '.join(self.tests)}" if self.tests else ""
        return f"SELECT {text} AS v{sources}{tests}"


def _properties(type_name: str, name: str) -> list[tuple[str, str, Element]]:
    definition = types().get(type_name)
    element = definition.elements.get(name) if definition else None
    if element is None:
        raise _NotAPath
    return [(key, child, element) for key, child in element.json_names]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def sort_texts(parameter: Parameter) -> tuple[str, ...]:
    """Return SELECTs over the content that yield what a parameter is sorted by.

    Raises Unsupported when the parameter's expression is more than a path.
    """
    selects = _selects(tuple(branch.expression for branch in parameter.branches), parameter.resource_type)
    if not selects:
        raise Unsupported(f"Sorting by '{parameter.code}' is not supported: its values are computed, not looked up.")
    return selects


@lru_cache(maxsize=2048)
def _selects(expressions: tuple[str, ...], resource_type: str) -> tuple[str, ...]:
    try:
        walks = [walk for expression in expressions for walk in _walk(parse(expression), resource_type)]
        return tuple(dict.fromkeys(text for walk in walks for text in walk.texts()))
    except _NotAPath:
        return ()


def _walk(node: Expression, root: str) -> list[_Walk]:
    match node:
        case Member(None, name):
            # Branches start at the type, or at a type that it is derived from.
            return [_Walk(root, CONTENT)] if name in types() else [*_Walk(root, CONTENT).step(name)]
        case Member(target, name) if target is not None:
            return [further for walk in _walk(target, root) for further in walk.step(name)]
        case TypeOperation("as", operand, type_name):
            return [walk for walk in _walk(operand, root) if walk.type_name == type_name]
        case Invocation(target, "as" | "ofType", (argument,)) if target is not None:
            return [walk for walk in _walk(target, root) if walk.type_name == qualified_name(argument)]
        case Invocation(target, "where", (criterion,)) if target is not None:
            return [walk.where(_test(criterion)) for walk in _walk(target, root)]
        case Invocation(target, "extension", (Literal(str(url)),)) if target is not None:
            extensions = [further for walk in _walk(target, root) for further in walk.step("extension")]
            return [walk.where(_equals("url", url)) for walk in extensions]
    raise _NotAPath


def _equals(name: str, text: str) -> Callable[[str], str]:
    return lambda value: f"{value} ->> {_quote(name)} = {_quote(text)}"


def _refers_to(type_name: str) -> Callable[[str], str]:
    pattern = _quote(f"(^|/){type_name}/[^/]+(/_history/[^/]+)?$")
    return lambda value: f"({value} ->> 'reference' ~ {pattern} OR {value} ->> 'type' = {_quote(type_name)})"


def _test(criterion: Expression) -> Callable[[str], str]:
    match criterion:
        case Binary("=", Member(None, name), Literal(str(text))):
            return _equals(name, text)
        case TypeOperation("is", Invocation(None, "resolve", ()), type_name):
            return _refers_to(type_name)
    raise _NotAPath
