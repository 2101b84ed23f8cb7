"""The mapping engine: rows of a map compiled to closures that fill a resource or data type.

A row says where a value comes from, under which condition, how it is converted and where it goes:

- condition: ``OBX-2 in NM SN``, ``OBR-8 valued``, ``OBR-8 empty``, ``PID-7 longer 8``, joined by `` and ``; positions
are fields of the segment or components of the data type.
- target: ``a.b``, ``a[].b`` (a new element per repetition), ``a[0].b`` (the first element, shared by several rows).
- extra: an object that a new element (or the value itself) gets besides.

The published maps: https://build.fhir.org/ig/HL7/v2-to-fhir/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mappers.hl7v2.maps import Row, maps
from mappers.hl7v2.run import Draft, Run
from mappers.hl7v2.tokenizer import DELETE

Conversion = Callable[[str, Run, int], Any]
Condition = Callable[[Sequence[str], Run], bool]
Place = Callable[[dict[str, Any], Any], None]
Conversions = Callable[[str, str], Conversion]

_TERM = re.compile(r"\w+[-.](\d+) (valued|empty|in|not in|longer) ?(.*)$")
_STEP = re.compile(r"(\w+)(\[\]|\[0\])?$")


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled row. ``root`` names the element (``extension:url`` for an extension) that a deletion removes."""

    source: int
    condition: Condition | None
    convert: Conversion
    place: Place
    repeats: bool
    root: str


def _term(text: str) -> Condition:
    match = _TERM.match(text)
    if match is None:
        raise ValueError(f"not a condition: {text}")
    at, operator, argument = int(match[1]), match[2], match[3]
    words = frozenset(argument.split())

    def first(fields: Sequence[str], run: Run) -> str:
        raw = fields[at] if at < len(fields) else ""
        return raw.split(run.delimiters.component, 1)[0].strip() if run.delimiters.component else raw.strip()

    def raw(fields: Sequence[str]) -> str:
        return fields[at] if at < len(fields) else ""

    terms: dict[str, Condition] = {
        "valued": lambda fields, _: bool(raw(fields)),
        "empty": lambda fields, _: not raw(fields),
        "in": lambda fields, run: first(fields, run) in words,
        "not in": lambda fields, run: first(fields, run) not in words,
        "longer": lambda fields, run: len(first(fields, run)) > int(argument),
    }
    return terms[operator]


def _condition(text: str) -> Condition | None:
    if not text:
        return None
    terms = [_term(t) for t in text.split(" and ")]
    if len(terms) == 1:
        return terms[0]
    return lambda fields, run: all(term(fields, run) for term in terms)


def _place(target: str, extra: dict[str, Any]) -> Place:
    """Compile a target path. The innermost ``[]`` makes the element that ``extra`` belongs to."""
    step, _, rest = target.partition(".")
    match = _STEP.match(step)
    if match is None:
        raise ValueError(f"not a target: {target}")
    name, index = match[1], match[2]
    inner = _place(rest, extra if "[]" in rest or index != "[]" else {}) if rest else None

    def append(owner: dict[str, Any], value: Any) -> None:
        elements = owner.setdefault(name, [])
        if inner is not None:
            element: Any = dict(extra) if "[]" not in rest else {}
            inner(element, value)
        else:
            element = {**extra, **value} if extra else value
        if element not in elements:
            elements.append(element)

    def shared(owner: dict[str, Any], value: Any) -> None:
        elements = owner.setdefault(name, [{}])
        if inner is not None:
            inner(elements[0], value)

    def descend(owner: dict[str, Any], value: Any) -> None:
        if inner is not None:
            inner(owner.setdefault(name, {}), value)

    def put(owner: dict[str, Any], value: Any) -> None:
        if extra and isinstance(value, dict):
            value = {**extra, **value}
        present = owner.get(name)
        if present is None:
            owner[name] = value
        elif isinstance(present, dict) and isinstance(value, dict):
            owner[name] = {**present, **value}

    if index == "[]":
        return append
    if index == "[0]":
        return shared
    return descend if rest else put


def _always(constant: object) -> Conversion:
    return lambda _piece, _run, _depth: constant


def _root(row: Row, extra: dict[str, Any]) -> str:
    name = row.target.partition(".")[0].partition("[")[0]
    return f"extension:{extra['url']}" if name == "extension" and "url" in extra else name


def compile_map(name: str, conversions: Conversions) -> tuple[Rule, ...]:
    """Compile a map; ``conversions(convert, vocabulary)`` gives the conversion that a row names."""
    rules = []
    for row in maps()[name]:
        extra = row.extra if isinstance(row.extra, dict) else {}
        convert: Conversion
        if row.convert == "constant":
            convert, extra = _always(row.extra), {}
        else:
            convert = conversions(row.convert, row.vocabulary)
        repeats = "[]" in row.target
        rules.append(
            Rule(row.source, _condition(row.condition), convert, _place(row.target, extra), repeats, _root(row, extra))
        )
    return tuple(rules)


@cache
def sources(name: str) -> frozenset[int]:
    """Return the fields or components that a map reads."""
    return frozenset(row.source for row in maps()[name])


def apply(rules: Sequence[Rule], segment: tuple[str, int, Sequence[str]], draft: Draft, run: Run) -> None:
    """Fill a draft from a segment: its name, sequence and raw fields."""
    name, sequence, fields = segment
    count = len(fields)
    repetition = run.delimiters.repetition
    resource = draft.resource
    for rule in rules:
        if rule.source >= count:
            continue
        raw = fields[rule.source]
        if not raw or (rule.condition is not None and not rule.condition(fields, run)):
            continue
        if raw == DELETE:
            draft.deleted.add(rule.root)
            continue
        run.where = f"{name}^{sequence}^{rule.source}"
        if repetition and repetition in raw:
            pieces = raw.split(repetition)
            if not rule.repeats:
                pieces = pieces[:1]
        else:
            pieces = [raw]
        for piece in pieces:
            if piece and (value := rule.convert(piece, run, 1)) is not None:
                rule.place(resource, value)


def fill(rules: Sequence[Rule], piece: str, run: Run, depth: int) -> dict[str, Any]:
    """Return a data type's JSON made from a field repetition (depth 1) or a component (depth 2)."""
    mark = run.marks[depth]
    components = piece.split(mark) if mark and mark in piece else [piece]
    count = len(components)
    out: dict[str, Any] = {}
    for rule in rules:
        if rule.source > count:
            continue
        raw = components[rule.source - 1]
        if not raw or raw == DELETE or (rule.condition is not None and not rule.condition(["", *components], run)):
            continue
        if (value := rule.convert(raw, run, depth + 1)) is not None:
            rule.place(out, value)
    return out
