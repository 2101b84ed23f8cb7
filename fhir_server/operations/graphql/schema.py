"""The GraphQL schema of FHIR R4, made from its definitions, https://hl7.org/fhir/R4/graphql.html.

Documents are validated against it, and introspection answers from it; their execution is :mod:`.plan` and :mod:`.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graphql import (
    DirectiveLocation,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLDirective,
    GraphQLField,
    GraphQLFloat,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    specified_directives,
    value_from_ast_untyped,
)

from conformance.definitions import Element, Type, resource_types, types
from fhir_server.search.registry import SearchParameters

DIRECTIVES = (
    GraphQLDirective(
        "flatten", [DirectiveLocation.FIELD], description="Leaves the object out; its fields join the one above."
    ),
    GraphQLDirective("first", [DirectiveLocation.FIELD], description="Only the first item of a list."),
    GraphQLDirective(
        "singleton", [DirectiveLocation.FIELD], description="Not a list, though it is flattened out of one."
    ),
    GraphQLDirective(
        "slice",
        [DirectiveLocation.FIELD],
        {"path": GraphQLArgument(GraphQLNonNull(GraphQLString))},
        description="One field an item, named by the FHIRPath `path` of the item, or by `$index`.",
    ),
)
VALUE = GraphQLScalarType(
    "SearchValue",
    description="A value as in a search or a filter: a string, a number, a boolean or a bare word.",
    parse_value=lambda value: value,
    parse_literal=value_from_ast_untyped,
)
VALUES = GraphQLArgument(GraphQLList(VALUE))
LISTING = {"_count": GraphQLArgument(GraphQLInt), "_offset": GraphQLArgument(GraphQLInt)}
SUFFIXES = ("List", "Connection")
_NATIVE = {
    "boolean": GraphQLBoolean,
    "integer": GraphQLInt,
    "positiveInt": GraphQLInt,
    "unsignedInt": GraphQLInt,
    "decimal": GraphQLFloat,
    "string": GraphQLString,
}
_CONTROLS = ("_sort", "_filter", "_cursor")


def name_of(type_name: str) -> str:
    """Return a FHIR type's name in GraphQL: ``PatientContact`` for ``Patient.contact``."""
    return "".join(part[0].upper() + part[1:] for part in type_name.split(".")) if "." in type_name else type_name


def argument_name(code: str) -> str:
    """Return a search parameter's name in GraphQL, which knows no hyphens."""
    return code.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Edge:
    """The types that GraphQL adds to a resource type for its connections."""

    connection: GraphQLObjectType
    edge: GraphQLObjectType


@dataclass(eq=False)
class Schemas:
    """The schema for the system, and one for each resource type that an instance is asked for.

    ``parameters`` are the search parameters whose names lists take as arguments.
    """

    parameters: SearchParameters
    _objects: dict[str, GraphQLOutputType] = field(default_factory=dict)
    _edges: dict[str, Edge] = field(default_factory=dict)
    _schemas: dict[str | None, GraphQLSchema] = field(default_factory=dict)
    _reverse: dict[str, dict[str, GraphQLField]] = field(default_factory=dict)
    _filters: dict[str, dict[str, GraphQLArgument]] = field(default_factory=dict)

    def get(self, resource_type: str | None) -> GraphQLSchema:
        """Return the schema whose root is an instance of the type, or None for the system's."""
        if resource_type not in self._schemas:
            root = self._system if resource_type is None else self.output(resource_type)
            self._schemas[resource_type] = GraphQLSchema(
                query=root,
                directives=[*specified_directives, *DIRECTIVES],
                assume_valid=True,
            )
        return self._schemas[resource_type]

    @cached_property
    def _system(self) -> GraphQLObjectType:
        fields: dict[str, GraphQLField] = {}
        for name in resource_types():
            fields[name] = GraphQLField(self.output(name), {"id": GraphQLArgument(GraphQLNonNull(VALUE))})
            fields |= self._lists(name, {})
        return GraphQLObjectType("Query", fields)

    def _lists(self, name: str, more: Mapping[str, GraphQLArgument]) -> dict[str, GraphQLField]:
        arguments = {**more, **LISTING, **{argument_name(c): VALUES for c in (*self.parameters.of(name), *_CONTROLS)}}
        found = GraphQLField(GraphQLList(GraphQLNonNull(self.output(name))), arguments)
        return {f"{name}List": found, f"{name}Connection": GraphQLField(self._edge(name).connection, arguments)}

    def _reverse_lists(self, source: str) -> dict[str, GraphQLField]:
        """Return the fields for what refers to a resource; they are the same whatever that is."""
        if source not in self._reverse:
            self._reverse[source] = self._lists(source, {"_reference": GraphQLArgument(GraphQLNonNull(VALUE))})
        return self._reverse[source]

    @cached_property
    def referring(self) -> Mapping[str, list[str]]:
        """The types that have a reference parameter which can point to a type, by that type."""
        out: dict[str, list[str]] = {name: [] for name in resource_types()}
        for source in resource_types():
            known = [p for p in self.parameters.of(source).values() if p.type == "reference" and p.indexed]
            anywhere = any(not p.targets for p in known)
            for target in resource_types() if anywhere else {t for p in known for t in p.targets if t in out}:
                out[target].append(source)
        return out

    def _edge(self, name: str) -> Edge:
        if name not in self._edges:
            edge = GraphQLObjectType(
                f"{name}Edge",
                {
                    "mode": GraphQLField(GraphQLString),
                    "score": GraphQLField(GraphQLFloat),
                    "resource": GraphQLField(self.output(name)),
                },
            )
            links = {link: GraphQLField(GraphQLString) for link in ("first", "previous", "next", "last")}
            numbers = {number: GraphQLField(GraphQLInt) for number in ("count", "offset", "pagesize")}
            edges = {"edges": GraphQLField(GraphQLList(GraphQLNonNull(edge)))}
            self._edges[name] = Edge(GraphQLObjectType(f"{name}Connection", {**numbers, **edges, **links}), edge)
        return self._edges[name]

    @cached_property
    def resource(self) -> GraphQLUnionType:
        """Any resource."""
        return GraphQLUnionType("Resource", lambda: [self.output(name) for name in resource_types()])

    def output(self, type_name: str) -> Any:
        """Return the GraphQL type of a FHIR type."""
        if type_name in ("Resource", "DomainResource"):
            return self.resource
        if type_name not in self._objects:
            known = types()[type_name]
            self._objects[type_name] = (
                _NATIVE.get(type_name) or GraphQLScalarType(type_name)
                if known.kind == "primitive"
                else GraphQLObjectType(name_of(type_name), self._fields_of(known))
            )
        return self._objects[type_name]

    def _fields_of(self, known: Type) -> Callable[[], dict[str, GraphQLField]]:
        return lambda: dict(self._fields(known))

    def _fields(self, known: Type) -> Iterator[tuple[str, GraphQLField]]:
        for element in known.elements.values():
            for json_name, type_name in element.json_names:
                yield json_name, self._field(element, type_name)
                if types()[type_name].kind == "primitive" and type_name != "xhtml":
                    companion = self.output("Element")
                    yield f"_{json_name}", GraphQLField(GraphQLList(companion) if element.is_list else companion)
            if element.choice:
                yield element.name, GraphQLField(self._choice(known.name, element))
        if known.name == "Reference":
            optional = {"optional": GraphQLArgument(GraphQLBoolean), "type": GraphQLArgument(VALUE)}
            yield "resource", GraphQLField(self.resource, optional)
        if known.kind == "resource":
            yield "resourceType", GraphQLField(GraphQLString)
            for source in self.referring.get(known.name, ()):
                yield from self._reverse_lists(source).items()

    def _field(self, element: Element, type_name: str) -> GraphQLField:
        output = self.output(type_name)
        if not element.is_list:
            return GraphQLField(output)
        if type_name not in self._filters:
            own = {part.name: VALUES for part in filters(type_name)}
            self._filters[type_name] = {**LISTING, "fhirpath": GraphQLArgument(GraphQLString), **own}
        return GraphQLField(GraphQLList(output), self._filters[type_name])

    def _choice(self, owner: str, element: Element) -> GraphQLOutputType:
        """Return the union of a choice's complex types: a union can't hold scalars, which have their own fields."""
        name = f"{name_of(owner)}{element.name[0].upper()}{element.name[1:]}"
        if name not in self._objects:
            complex_types = [t for t in element.types if types()[t].kind != "primitive"]
            self._objects[name] = (
                GraphQLUnionType(name, lambda: [self.output(t) for t in complex_types])
                if complex_types
                else GraphQLScalarType(name)
            )
        return self._objects[name]


def filters(type_name: str) -> list[Element]:
    """Return the single primitive elements of a complex type, by which a list of it can be filtered."""
    known = types().get(type_name)
    if known is None or known.kind == "primitive":
        return []
    return [
        e for e in known.elements.values() if not e.choice and not e.is_list and types()[e.types[0]].kind == "primitive"
    ]
