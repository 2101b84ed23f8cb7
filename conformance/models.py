"""R4 models: one msgspec Struct per complex type, generated from the definitions, https://hl7.org/fhir/R4/json.html.

They exist to check JSON fast while it is decoded; their instances are thrown away. What a type annotation can say
(properties, cardinality, formats, codes) is said by annotations, checked in C. What relates properties to each other
(choices, primitives that have only extensions, bindings of concepts) is checked when an instance is complete. A few
things they leave to :mod:`conformance.decode`: empty objects, control characters, duplicate properties, depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import astuple

from conformance.definitions import Element, Type, resource_types, types
from conformance.primitives import INTEGER_RANGES, MAX_STRING, UNLIMITED, pattern
from conformance.shape import bound_codes, bound_concepts, is_primitive, properties

Rule = Callable[[Any], None]


@cache
def structs() -> Mapping[str, type[Struct]]:
    """Return the model of every complex, backbone and concrete resource type, by type name."""
    built: dict[str, type[Struct]] = {}
    for name, type_ in types().items():
        if type_.kind != "primitive" and not (type_.kind == "resource" and type_.abstract):
            built[name] = _define(type_)
    # Types refer to each other in circles, so annotations are filled in when all exist; msgspec reads them late.
    every_resource: Any = Union[tuple(built[name] for name in resource_types())]  # noqa: UP007 - members are computed
    targets = {**built, "Resource": every_resource}
    for name, model in built.items():
        model.__annotations__.update(_annotations(types()[name], targets))
    return MappingProxyType(built)


@cache
def decoder(resource_type: str) -> msgspec.json.Decoder[Struct]:
    """Return the decoder that accepts conforming JSON of one resource type and raises msgspec.ValidationError else."""
    return msgspec.json.Decoder(structs()[resource_type])


def _define(type_: Type) -> type[Struct]:
    """Create the Struct with its fields and rules; annotations still lack the types."""
    required: list[tuple[str, Any]] = []
    optional: list[tuple[str, Any, Any]] = []
    # A choice's properties stand side by side, values first, so that a rule can count them in a slice.
    for element in sorted(type_.elements.values(), key=lambda e: e.choice):
        group = properties(type_.name)[element.name]
        if element.min and not element.choice and group[0].sibling is None:
            required.append((group[0].name, Any))
        else:
            optional += [(p.name, Any, UNSET) for p in group]
        optional += [(p.sibling, Any, UNSET) for p in group if p.sibling]
    rules = tuple(_rules(type_, [f[0] for f in (*required, *optional)]))
    return msgspec.defstruct(
        type_.name.replace(".", "_"),
        [*required, *optional],
        namespace={"__post_init__": _combine(rules)} if rules else None,
        tag_field="resourceType" if type_.kind == "resource" else None,
        tag=type_.name if type_.kind == "resource" else None,
        forbid_unknown_fields=True,
        kw_only=True,
        eq=False,
        gc=False,
    )


def _annotations(type_: Type, models: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotation of every field of a type."""
    out: dict[str, Any] = {}
    for element in type_.elements.values():
        for p in properties(type_.name)[element.name]:
            primitive = is_primitive(p.type)
            value = _primitive(p.type, element.required) if primitive else models[p.type]
            out[p.name] = _optional(value, element.is_list, primitive and p.sibling is not None)
            if p.sibling:
                out[p.sibling] = _optional(models["Element"], element.is_list, True)
    return out


@cache
def _optional(value: Any, is_list: bool, nullable: bool) -> Any:
    if is_list:
        value = Annotated[list[value | None] if nullable else list[value], Meta(min_length=1)]
    return value | UnsetType


@cache
def _primitive(type_name: str, value_set: str | None) -> Any:
    if type_name == "boolean":
        return bool
    if type_name == "decimal":
        return float
    if type_name in INTEGER_RANGES:
        low, high = INTEGER_RANGES[type_name]
        return Annotated[int, Meta(ge=low, le=high)]
    codes = bound_codes(value_set) if type_name == "code" else None
    if codes is not None:
        return Literal[tuple(sorted(codes))]
    max_length = None if type_name in UNLIMITED else MAX_STRING
    return Annotated[str, Meta(min_length=1, max_length=max_length, pattern=pattern(type_name))]


def _combine(rules: tuple[Rule, ...]) -> Rule:
    if len(rules) == 1:
        return rules[0]

    def check_all(instance: Any) -> None:
        for rule in rules:
            rule(instance)

    return check_all


def _rules(type_: Type, fields: list[str]) -> Iterable[Rule]:
    """Yield the checks across properties that a type needs; each raises ValueError, which msgspec reports."""
    for element in type_.elements.values():
        group = properties(type_.name)[element.name]
        sibling = group[0].sibling
        if element.choice:
            rule = _choice_rule(type_, element, fields)
            yield _extension_rule(rule, len(fields)) if type_.name == "Extension" else rule
        elif sibling and element.is_list:
            yield _alignment_rule(group[0].name, sibling, bool(element.min))
        elif sibling and element.min:
            yield _presence_rule(group[0].name, sibling)
        concepts = bound_concepts(element.required)
        if concepts is not None and element.types == ("CodeableConcept",):
            yield _binding_rule(element, concepts)
        if element.name == "contained":
            yield _check_contained


def _choice_rule(type_: Type, element: Element, fields: list[str]) -> Rule:
    """Allow one type of a choice, and demand one if it is required."""
    group = properties(type_.name)[element.name]
    siblings = [(p.name, p.sibling) for p in group if p.sibling]
    start = fields.index(group[0].name)
    stop = start + len(group) + len(siblings)
    size = stop - start
    required = bool(element.min)

    def check_choice(instance: Any) -> None:
        present = size - astuple(instance)[start:stop].count(UNSET)
        if present > 1:
            # A primitive and its own sibling are one and the same value.
            both = any(
                getattr(instance, s) is not UNSET and getattr(instance, name) is not UNSET for name, s in siblings
            )
            if present > 2 or not both:  # noqa: PLR2004 - the pair just described
                raise ValueError(f"more than one type of {element.name}[x]")
        if required and not present:
            raise ValueError(f"{element.name}[x] is missing")

    return check_choice


def _extension_rule(check_choice: Rule, size: int) -> Rule:
    """Demand of an extension a value or else extensions (ext-1), beside the rule for its value[x]."""
    url_and_one = size - 2

    def check_extension(instance: Any) -> None:
        absent = astuple(instance).count(UNSET)
        # Nearly every extension has a url and one property more; these need no closer look.
        if absent == url_and_one and instance.id is UNSET:
            return
        check_choice(instance)
        attributes = (instance.url, instance.id, instance.extension)
        has_value = size - absent > len(attributes) - attributes.count(UNSET)
        if has_value == (instance.extension is not UNSET):
            raise ValueError("an extension has either a value or extensions")

    return check_extension


def _alignment_rule(name: str, sibling: str, required: bool) -> Rule:
    """Require the same length of a primitive array and its sibling, and something at every position."""

    def check_alignment(instance: Any) -> None:
        values, extras = getattr(instance, name), getattr(instance, sibling)
        if extras is UNSET:
            if values is UNSET:
                if required:
                    raise ValueError(f"{name} is missing")
            elif None in values:
                raise ValueError(f"null in {name}")
        elif values is UNSET:
            if None in extras:
                raise ValueError(f"null in {sibling}")
        elif len(values) != len(extras) or any(v is None and e is None for v, e in zip(values, extras, strict=True)):
            raise ValueError(f"{name} and {sibling} do not fit together")

    return check_alignment


def _presence_rule(name: str, sibling: str) -> Rule:
    def check_presence(instance: Any) -> None:
        if getattr(instance, name) is UNSET and getattr(instance, sibling) is UNSET:
            raise ValueError(f"{name} is missing")

    return check_presence


def _binding_rule(element: Element, concepts: frozenset[tuple[str, str]]) -> Rule:
    """Demand that one of a concept's codings, if it has any, is from the value set."""
    name, is_list = element.name, element.is_list

    def check_binding(instance: Any) -> None:
        value = getattr(instance, name)
        if value is UNSET:
            return
        for concept in value if is_list else (value,):
            codings = concept.coding
            if codings is not UNSET and not any((c.system, c.code) in concepts for c in codings):
                raise ValueError(f"{name} has no coding from its value set")

    return check_binding


def _check_contained(instance: Any) -> None:
    """Refuse contained resources that contain others (dom-2)."""
    if instance.contained is not UNSET:
        for resource in instance.contained:
            if getattr(resource, "contained", UNSET) is not UNSET:
                raise ValueError("a contained resource contains another")
