"""How it is told which slice an element belongs to, https://hl7.org/fhir/R4/profiling.html#discriminator.

A discriminator is compiled, for one slice, from what the slice says at the discriminator's path: fixed values, patterns,
bindings, types, profiles, or whether something is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from conformance.fhirpath.model import ancestors
from conformance.validation.bindings import is_bound
from conformance.validation.items import children
from conformance.validation.references import target_of
from conformance.validation.run import Item, Run
from conformance.validation.tree import Node
from conformance.validation.values import fits, is_same

if TYPE_CHECKING:
    from conformance.validation.plans import Plans

Test = Callable[[Item, Run], bool]

_STEP = re.compile(
    r"(?P<this>\$this)|(?P<resolve>resolve\(\))|extension\(\s*['\"](?P<url>[^'\"]*)['\"]\s*\)"
    r"|(?:ofType|as)\(\s*(?P<type>[\w.]+)\s*\)|(?P<name>`?\w+`?)"
)
_MOST_DEPTH = 12


class Step:
    """One step of a discriminator's path."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text

    def follow(self, item: Item, run: Run) -> list[Item]:
        """Return what the step leads to from an item."""
        if self.kind == "name":
            return children(item, self.text)
        if self.kind == "url":
            return [e for e in children(item, "extension") if type(e[0]) is dict and e[0].get("url") == self.text]
        if self.kind == "type":
            return [item] if item[2] == self.text else []
        target = target_of(item[0], run)
        if target is None or type(target.get("resourceType")) is not str:
            return []
        return [(target, None, target["resourceType"], item[3])]


def parse_path(path: str) -> list[Step] | None:
    """Return the steps of a discriminator's path, None for what discriminators may not have."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or match.lastgroup is None:
            return None
        if match.lastgroup != "this":
            steps.append(Step(match.lastgroup, (match[match.lastgroup] or "").strip("`")))
        at = match.end()
        if at < len(path):
            if path[at] != ".":
                return None
            at += 1
    return steps


def compile_discriminator(kind: str, path: str, node: Node, plans: Plans) -> Test | None:
    """Return the test whether an element is in the slice ``node``; None if the slice says nothing at the path."""
    steps = parse_path(path)
    if steps is None:
        return None
    if kind in ("value", "pattern"):
        return _value_test(node, steps, plans, 0)
    if kind == "exists":
        return _existence_test(node, steps, plans)
    if kind == "type":
        return _type_test(_ends(node, steps, plans), steps, plans)
    return _profile_test(node, steps, plans) if kind == "profile" else None


def _followed(item: Item, steps: Iterable[Step], run: Run) -> list[Item]:
    items = [item]
    for step in steps:
        items = [found for one in items for found in step.follow(one, run)]
    return items


def _nodes(node: Node, step: Step, plans: Plans) -> list[Node]:
    """Return what the snapshot, and the profiles on its types, say about a step from ``node``."""
    if step.kind == "resolve":
        return [root for url in node.targets() if (root := plans.root(url)) is not None]
    if step.kind == "type":
        narrowed = [child for child in node.slices if step.text in child.types]
        return [*narrowed, node]
    name = "extension" if step.kind == "url" else step.text
    found = [node.children[name]] if name in node.children else []
    for url in node.profiles():
        root = plans.root(url)
        if root is not None and name in root.children:
            found.append(root.children[name])
    if step.kind == "url":
        return [child for whole in found for child in whole.slices if step.text in child.profiles()]
    return found


def _ends(node: Node, steps: list[Step], plans: Plans) -> list[Node]:
    nodes = [node]
    for step in steps:
        nodes = [found for one in nodes for found in _nodes(one, step, plans)]
    return nodes


def _value_test(node: Node, steps: list[Step], plans: Plans, depth: int) -> Test | None:
    """Return the test of an element against what ``node`` says about the value at the end of ``steps``."""
    own = node.fixed()
    if own is not None:
        test = _fixed_test(own[0], steps, is_pattern=own[1])
        if test is not None:
            return test
    if not steps:
        return _content_test(node, plans, depth)
    step, rest = steps[0], steps[1:]
    tests: list[Test] = []
    for child in _nodes(node, step, plans):
        if str(child.element.get("max")) == "0":
            # What may not be there has no value to compare, but its absence tells as much.
            return lambda item, run: not step.follow(item, run)
        test = _value_test(child, rest, plans, depth)
        if test is not None:
            tests.append(test)
        else:
            tests += [t for s in child.slices if (t := _value_test(s, rest, plans, depth)) is not None]
    if not tests:
        return None
    return lambda item, run: any(test(found, run) for found in step.follow(item, run) for test in tests)


def _fixed_test(wanted: Any, steps: list[Step], *, is_pattern: bool) -> Test | None:
    values = [wanted]
    for step in steps:
        if step.kind != "name":
            return None
        values = [v for one in values if isinstance(one, dict) and step.text in one for v in _listed(one[step.text])]
    if not values:
        return None
    matches = fits if is_pattern or steps else is_same
    if not steps:
        return lambda item, _: matches(item[0], wanted)
    return lambda item, run: any(matches(found[0], v) for found in _followed(item, steps, run) for v in values)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _content_test(node: Node, plans: Plans, depth: int) -> Test | None:
    """Return the test by what is fixed below an element, else by its binding."""
    if depth > _MOST_DEPTH:
        return None
    tests: list[Test] = []
    for name, child in node.children.items():
        if str(child.element.get("max")) == "0":
            continue
        test = _value_test(node, [Step("name", name)], plans, depth + 1)
        if test is not None:
            tests.append(test)
    if tests:
        return lambda item, run: all(test(item, run) for test in tests)
    binding = node.binding()
    if binding and binding.get("strength") == "required" and "valueSet" in binding:
        value_set = str(binding["valueSet"])
        return lambda item, _: is_bound(item, value_set, plans.terminology)
    return None


def _existence_test(node: Node, steps: list[Step], plans: Plans) -> Test | None:
    ends = _ends(node, steps, plans)
    if any(str(end.element.get("max")) == "0" for end in ends):
        return lambda item, run: not _followed(item, steps, run)
    if any(end.element.get("min", 0) > 0 for end in ends):
        return lambda item, run: bool(_followed(item, steps, run))
    return None


def _type_test(ends: list[Node], steps: list[Step], plans: Plans) -> Test | None:
    wanted = frozenset(name for end in ends for name in end.types)
    if not wanted or wanted & {"Resource", "DomainResource"}:
        # What is said of resources in general tells nothing, unless a profile of theirs does.
        roots = [plans.root(url) for end in ends for url in end.profiles()]
        wanted = frozenset(name for root in roots if root for name in root.types)
    if not wanted:
        return None
    return lambda item, run: any(not wanted.isdisjoint(ancestors(f[2])) for f in _followed(item, steps, run))


def _profile_test(node: Node, steps: list[Step], plans: Plans) -> Test | None:
    if steps and steps[-1].kind == "resolve":
        urls = tuple(url for end in _ends(node, steps[:-1], plans) for url in end.targets())
    else:
        urls = tuple(url for end in _ends(node, steps, plans) for url in end.profiles())
    if not urls:
        return None
    return lambda item, run: any(
        plans.conforms(found, url, run) for found in _followed(item, steps, run) for url in urls
    )
