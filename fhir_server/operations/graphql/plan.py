"""From a GraphQL document to what it asks of each FHIR type, worked out once and kept.

https://spec.graphql.org/October2021/#CollectFields() and https://hl7.org/fhir/R4/graphql.html for the directives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLSchema, GraphQLUnionType, value_from_ast_untyped
from graphql.language import ast

from conformance.definitions import types
from fhir_server.operations.graphql.schema import SUFFIXES, name_of

Variables = Mapping[str, Any]

READ, LIST, CONNECTION, RESOURCE = "read", "list", "connection", "resource"
"""What a field loads; every other field comes out of what is there already."""


@dataclass(eq=False, slots=True)
class Field:
    """A field asked of one FHIR type.

    ``key`` names it in the answer. ``loads`` is one of READ, LIST, CONNECTION, RESOURCE or None; ``values`` are the JSON
    properties it may come from with their types (of a load: the type that is loaded).
    """

    key: str
    name: str
    loads: str | None
    values: tuple[tuple[str, str], ...]
    is_list: bool
    arguments: tuple[ast.ArgumentNode, ...]
    selection: Selection | None
    first: bool = False
    flatten: bool = False
    singleton: bool = False
    slice_path: str | None = None

    def given(self, variables: Variables) -> dict[str, Any]:
        """Return the arguments' values; those of variables that were not given are left out."""
        out = {}
        for argument in self.arguments:
            if isinstance(argument.value, ast.VariableNode) and argument.value.name.value not in variables:
                continue
            out[argument.name.value] = value_from_ast_untyped(argument.value, dict(variables))
        return out

    @property
    def plain(self) -> bool:
        """Whether its value can stand in the answer under its key as it is."""
        return not (self.flatten or self.singleton or self.slice_path is not None)


@dataclass(eq=False, slots=True)
class Document:
    """What all selections of a document share. ``truths`` are the Boolean variables as they were given."""

    schema: GraphQLSchema
    fragments: Mapping[str, ast.FragmentDefinitionNode]
    truths: Mapping[str, bool]


@dataclass(eq=False, slots=True)
class Selection:
    """What is asked of a value, whatever its type turns out to be."""

    document: Document
    nodes: tuple[ast.SelectionSetNode, ...]
    _fields: dict[str, tuple[Field, ...]] = field(default_factory=dict)

    def fields(self, type_name: str) -> tuple[Field, ...]:
        """Return the fields asked of a FHIR type, in the order of the answer."""
        found = self._fields.get(type_name)
        if found is None:
            grouped: dict[str, list[ast.FieldNode]] = {}
            for node in self.nodes:
                self._collect(node, type_name, grouped)
            found = tuple(self._field(key, nodes, type_name) for key, nodes in grouped.items())
            self._fields[type_name] = found
        return found

    def _collect(
        self, selection: ast.SelectionSetNode, type_name: str, grouped: dict[str, list[ast.FieldNode]]
    ) -> None:
        for node in selection.selections:
            if not self._included(node):
                continue
            if isinstance(node, ast.FieldNode):
                grouped.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
            elif isinstance(node, ast.InlineFragmentNode):
                if node.type_condition is None or self._is(type_name, node.type_condition.name.value):
                    self._collect(node.selection_set, type_name, grouped)
            elif isinstance(node, ast.FragmentSpreadNode):
                fragment = self.document.fragments[node.name.value]
                if self._is(type_name, fragment.type_condition.name.value):
                    self._collect(fragment.selection_set, type_name, grouped)

    def _included(self, node: ast.SelectionNode) -> bool:
        for directive in node.directives or ():
            if directive.name.value in ("skip", "include"):
                condition = _argument(directive)
                if isinstance(condition, ast.VariableNode):
                    holds = self.document.truths.get(condition.name.value, False)
                else:
                    holds = bool(value_from_ast_untyped(condition))
                if holds == (directive.name.value == "skip"):
                    return False
        return True

    def _is(self, type_name: str, condition: str) -> bool:
        """Tell whether a fragment on a GraphQL type applies to a FHIR type."""
        name = name_of(type_name)
        known = self.document.schema.get_type(condition)
        if isinstance(known, GraphQLUnionType):
            return any(member.name == name for member in known.types)
        return condition == name

    def _field(self, key: str, nodes: Sequence[ast.FieldNode], type_name: str) -> Field:
        node = nodes[0]
        inner = tuple(n.selection_set for n in nodes if n.selection_set is not None)
        loads, values, is_list = describe(node.name.value, type_name)
        made = Field(
            key,
            node.name.value,
            loads,
            values,
            is_list,
            tuple(node.arguments or ()),
            Selection(self.document, inner) if inner else None,
        )
        for directive in node.directives or ():
            match directive.name.value:
                case "first":
                    made.first = True
                case "flatten":
                    made.flatten = True
                case "singleton":
                    made.singleton = True
                case "slice":
                    made.slice_path = str(value_from_ast_untyped(_argument(directive)))
        return made


def _argument(directive: ast.DirectiveNode) -> ast.ValueNode:
    """Return the value of a directive's only argument."""
    return (directive.arguments or ())[0].value


def describe(name: str, type_name: str) -> tuple[str | None, tuple[tuple[str, str], ...], bool]:
    """Return (what it loads, where its value is found, whether it is a list) for a field of a FHIR type.

    ``type_name`` is also ``Query``, or the name of a connection or its edge.
    """
    for suffix, loads in zip(SUFFIXES, (LIST, CONNECTION), strict=True):
        source = name.removesuffix(suffix)
        if source != name and source in types() and types()[source].kind == "resource":
            return loads, ((name, source),), loads == LIST
    if type_name == "Query":
        return READ, ((name, name),), False
    if type_name not in types():
        return None, _described_edge(name, type_name), name == "edges"
    if name == "resource" and type_name == "Reference":
        return RESOURCE, ((name, "Resource"),), False
    elements = types()[type_name].elements
    if name in elements:
        return None, elements[name].json_names, elements[name].is_list
    for element in elements.values():
        for json_name, value_type in element.json_names:
            if name == json_name:
                return None, ((json_name, value_type),), element.is_list
            if name == f"_{json_name}":
                return None, ((name, "Element"),), element.is_list
    return None, ((name, "string"),), False  # resourceType


def _described_edge(name: str, type_name: str) -> tuple[tuple[str, str], ...]:
    if name == "edges":
        return ((name, type_name.removesuffix("Connection") + "Edge"),)
    return ((name, type_name.removesuffix("Edge") if name == "resource" else "string"),)
