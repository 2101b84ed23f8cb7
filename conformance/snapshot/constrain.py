"""What a differential's element makes of the element it constrains, https://hl7.org/fhir/R4/elementdefinition.html#interpretation.

Most facts of the differential replace those of the base. Constraints, conditions and extensions add to them, and what
only the base may say (``base``, ``contentReference``) stays. Facts that would widen what the base allows are told as
problems, for no profile may do that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from conformance.compile_definitions import SYSTEM_TYPES

Json = dict[str, Any]

_DIGITS = re.compile("[0-9]{1,9}")
_OWN = frozenset(("id", "path", "sliceName", "base", "constraint", "condition", "extension", "mapping"))


def constrain(element: Json, differential: Json, source: str) -> Json:
    """Return an element as a differential's element constrains it. ``source`` is the URL that new constraints carry."""
    made = {k: v for k, v in element.items() if not _is_replaced(k, differential)}
    made.update((k, v) for k, v in differential.items() if k not in _OWN)
    for name, key in (("constraint", "key"), ("extension", "url"), ("mapping", "identity")):
        if name in differential:
            added = differential[name]
            if name == "constraint":
                added = [rule if "source" in rule else {**rule, "source": source} for rule in added]
            keys = {item.get(key) for item in added}
            made[name] = [item for item in element.get(name, ()) if item.get(key) not in keys] + added
    if element.get("isModifier"):
        made["isModifier"] = True  # which only the base decides
    if "binding" in differential:
        made["binding"] = {**element.get("binding", {}), **differential["binding"]}
    if "condition" in differential:
        made["condition"] = list(dict.fromkeys((*element.get("condition", ()), *differential["condition"])))
    return made


def with_root(element: Json, root: Json) -> Json:
    """Return an element that is to conform to a profile, with what the profile's root says; of extensions also how many."""
    keys = {rule["key"] for rule in root.get("constraint", ())}
    mine = [rule for rule in element.get("constraint", ()) if rule["key"] not in keys]
    made = {**element, "constraint": mine + root.get("constraint", [])}
    if root["path"] == "Extension":
        made.update((name, root[name]) for name in ("min", "max", "isModifier", "isModifierReason") if name in root)
    return made


def _is_replaced(name: str, differential: Json) -> bool:
    """Tell whether a fact gives way to one of the same choice: a ``patternCode`` to a ``fixedCode``, say, or minValue to its kind."""
    return any(
        name.startswith(choice) and any(other.startswith(choice) for other in differential)
        for choice in ("minValue", "maxValue", "defaultValue", "fixed", "pattern")
    )


def widened(element: Json, differential: Json) -> Iterator[str]:
    """Yield what a differential's element allows beyond the element it constrains."""
    minimum, maximum = differential.get("min"), differential.get("max")
    if maximum is not None and maximum != "*" and not _DIGITS.fullmatch(maximum):
        yield f"max {maximum} is neither a number nor *"
        maximum = None
    if minimum is not None and minimum < element.get("min", 0):
        yield f"min {minimum} is less than the base's {element['min']}"
    if maximum is not None and _number(maximum) > _number(element.get("max", "*")):
        yield f"max {maximum} is more than the base's {element['max']}"
    least = element.get("min", 0) if minimum is None else minimum
    most = element.get("max", "*") if maximum is None else maximum
    if least > _number(most):
        yield f"min {least} is more than max {most}"
    allowed = {type_["code"] for type_ in element.get("type", ())}
    for type_ in differential.get("type", ()):
        if not _allows(allowed, type_["code"]):
            yield f"type {type_['code']} isn't one of the base's: {', '.join(sorted(allowed))}"
    binding, new = element.get("binding", {}), differential.get("binding", {})
    if binding.get("strength") == "required" and new.get("strength", "required") != "required":
        yield f"a required binding can't become {new['strength']}"


def _allows(codes: set[str], code: str) -> bool:
    """Tell whether a type is among some, or one of those that stand for others."""
    if not codes or code in codes or codes & {"Element", "Resource", "DomainResource", "*"}:
        return True
    return any(known.startswith(SYSTEM_TYPES) for known in codes)


def _number(maximum: str) -> float:
    return int(maximum) if _DIGITS.fullmatch(maximum) else float("inf")
