"""Slicing: which slice each element is in, and what follows, https://hl7.org/fhir/R4/profiling.html#slicing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from conformance.validation.discriminators import Test, compile_discriminator
from conformance.validation.run import Item, Json, Run, Where
from conformance.validation.tree import Node

if TYPE_CHECKING:
    from conformance.validation.plans import Plans

Check = Callable[[Item, Run], None]
_DEFAULT = "@default"


class Slice(NamedTuple):
    """A slice, compiled: how an element is known, how many there may be, what holds for each, its own slices."""

    name: str
    test: Test | None
    min: int
    max: int | None
    checks: tuple[Check, ...]
    inner: Slicing | None


class Slicing(NamedTuple):
    """The slices of an element; ``rules`` is open, closed or openAtEnd."""

    label: str
    slices: tuple[Slice, ...]
    rules: str
    ordered: bool

    def check(self, items: list[Item], owner: Where, name: str, run: Run) -> None:
        """Report what is wrong with the elements of one name in one owner."""
        found: dict[str, list[Item]] = {}
        last, unmatched = 0, False
        for item in items:
            position = self._position(item, run)
            if position is None:
                unmatched = True
                if self.rules == "closed":
                    run.report(
                        "error", "structure", f"This is in none of the slices of {self.label} (slicing)", item[3]
                    )
                continue
            if self.ordered and position < last:
                name_of = self.slices[position].name
                run.report(
                    "error", "structure", f"The slice {name_of} of {self.label} is out of order (slicing)", item[3]
                )
            if self.rules == "openAtEnd" and unmatched:
                message = f"What is in no slice of {self.label} has to come last (slicing)"
                run.report("error", "structure", message, item[3])
            last = max(last, position)
            found.setdefault(self.slices[position].name, []).append(item)
        for slice_ in self.slices:
            self._check_slice(slice_, found.get(slice_.name, []), len(items), (owner, name, None), run)

    def _position(self, item: Item, run: Run) -> int | None:
        default = None
        for position, slice_ in enumerate(self.slices):
            if slice_.name == _DEFAULT:
                default = position
            elif slice_.test is not None and slice_.test(item, run):
                return position
        return default

    def _check_slice(self, slice_: Slice, items: list[Item], total: int, where: Where, run: Run) -> None:
        count = len(items)
        label = f"{self.label}:{slice_.name}"
        if slice_.test is None and slice_.name != _DEFAULT:
            if slice_.min > total:
                run.report(
                    "error", "required", f"The slice {label} needs at least {slice_.min}, found {total} (min)", where
                )
            elif slice_.min:
                message = f"Which elements are in the slice {label} can't be told from its definition (slicing)"
                run.report("warning", "not-supported", message, where)
            return
        if count < slice_.min:
            run.report(
                "error", "required", f"The slice {label} needs at least {slice_.min}, found {count} (min)", where
            )
        if slice_.max is not None and count > slice_.max:
            run.report("error", "structure", f"The slice {label} has at most {slice_.max}, found {count} (max)", where)
        for item in items:
            for check in slice_.checks:
                check(item, run)
        if slice_.inner is not None:
            slice_.inner.check(items, where[0], where[1], run)


def compile_slicing(
    node: Node, label: str, plans: Plans, compile_checks: Callable[[Node], tuple[Check, ...]]
) -> Slicing | None:
    """Return the slicing of an element, None if there is nothing in it to check."""
    if not node.slices:
        return None
    rules = _slicing_of(node)
    slices: list[Slice] = []
    for child in node.slices:
        checks = compile_checks(child)
        slices.append(
            Slice(
                name=child.slice_name,
                test=_membership(child, rules, plans, checks),
                min=int(child.element.get("min", 0)),
                max=_maximum(child, node),
                checks=checks,
                inner=compile_slicing(child, f"{label}:{child.slice_name}", plans, compile_checks),
            )
        )
    closed = rules.get("rules", "open")
    ordered = bool(rules.get("ordered"))
    idle = all(not s.min and s.max is None and not s.checks and s.inner is None for s in slices)
    if idle and closed == "open" and not ordered:
        return None
    return Slicing(label, tuple(slices), closed, ordered)


def _slicing_of(node: Node) -> Json:
    slicing: Json | None = node.element.get("slicing")
    whole = node.whole
    while slicing is None and whole is not None:
        # Slices of a slice are told apart as the slices are, unless it says otherwise.
        slicing, whole = whole.element.get("slicing"), whole.whole
    if slicing is not None:
        return slicing
    if node.name in ("extension", "modifierExtension"):
        return {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}
    return {"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"}


def _maximum(child: Node, node: Node) -> int | None:
    maximum = str(child.element.get("max", "*"))
    if maximum == "*" or (maximum == str(node.element.get("max")) and maximum != "0"):
        # The limit of the whole holds anyway.
        return None
    return int(maximum)


def _membership(child: Node, rules: Json, plans: Plans, checks: tuple[Check, ...]) -> Test | None:
    """Return the test whether an element is in a slice: all discriminators of which the slice says something."""
    discriminators = rules.get("discriminator", ())
    if not discriminators:
        # Without any, an element is in the slice whose content it has.
        return lambda item, run: _has_content(item, checks, run)
    tests = [
        test
        for d in discriminators
        if (test := compile_discriminator(str(d.get("type")), str(d.get("path")), child, plans)) is not None
    ]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda item, run: all(test(item, run) for test in tests)


def _has_content(item: Item, checks: tuple[Check, ...], run: Run) -> bool:
    def attempt() -> None:
        for check in checks:
            check(item, run)

    return not any(issue.severity == "error" for issue in run.trial(attempt))
