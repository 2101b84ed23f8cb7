"""What an ElementDefinition says about single values: fixed, pattern, least, greatest, longest.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.decode import encode
from conformance.primitives import describe
from conformance.validation.run import Item, Run
from conformance.validation.tree import Node
from conformance.validation.values import compare, fits, is_same

Check = Callable[[Item, Run], None]
_MOST_SHOWN = 200
# What R5 says by an element of its own, profiles on R4 say by this.
_MUST_HAVE_VALUE = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ElementDefinition.mustHaveValue"


def compile_limits(node: Node) -> list[Check]:
    """Return the checks of the values of an element."""
    checks: list[Check] = []
    fixed = node.fixed()
    if fixed is not None:
        checks.append(_fixed_check(fixed[0], is_pattern=fixed[1]))
    for key, limit in node.element.items():
        if key.startswith("minValue"):
            checks.append(_limit_check(limit, -1, "less than the least value allowed", "minValue"))
        elif key.startswith("maxValue"):
            checks.append(_limit_check(limit, 1, "more than the greatest value allowed", "maxValue"))
    if any(e.get("url") == _MUST_HAVE_VALUE and e.get("valueBoolean") for e in node.element.get("extension", ())):
        checks.append(_check_value)
    longest = node.element.get("maxLength")
    if isinstance(longest, int):
        checks.append(_length_check(longest))
    return checks


def show(value: Any) -> str:
    """Say what a value is, for messages: JSON, cut where it is long."""
    if not isinstance(value, dict | list):
        return describe(value) if isinstance(value, str) else str(value)
    text = encode(value).decode()
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _fixed_check(wanted: Any, *, is_pattern: bool) -> Check:
    meets, key = (fits, "pattern") if is_pattern else (is_same, "fixed")

    def check(item: Item, run: Run) -> None:
        if not meets(item[0], wanted):
            found = "nothing" if item[0] is None else show(item[0])
            run.report("error", "value", f"Expected {show(wanted)}, found {found} ({key})", item[3])

    return check


def _check_value(item: Item, run: Run) -> None:
    if item[0] is None:
        run.report("error", "value", "Extensions can't stand in for the value here (mustHaveValue)", item[3])


def _limit_check(limit: Any, side: int, what: str, key: str) -> Check:
    def check(item: Item, run: Run) -> None:
        if item[0] is not None and compare(item[0], limit) == side:
            run.report("error", "value", f"{show(item[0])} is {what}, {show(limit)} ({key})", item[3])

    return check


def _length_check(longest: int) -> Check:
    def check(item: Item, run: Run) -> None:
        if type(item[0]) is str and len(item[0]) > longest:
            message = f"At most {longest} characters are allowed, found {len(item[0])} (maxLength)"
            run.report("error", "too-long", message, item[3])

    return check
