"""Functions on quantities, https://hl7.org/fhirpath/#comparablequantity (trial use)."""

from __future__ import annotations

from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Frame
from conformance.fhirpath.functions.conversion import to_quantity
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import Collection
from conformance.fhirpath.operands import value
from conformance.fhirpath.quantity import Quantity, align


def _amount(items: Collection) -> Quantity | None:
    found = value(items, "an operand of comparable()")
    return None if type(found) is str else to_quantity(found)


@function("comparable", 1)
def comparable(_frame: Frame, items: Collection, other: Collection) -> Collection:
    """Tell whether two quantities have units of the same dimension."""
    if not items or not other:
        raise FHIRPathError("comparable() needs two quantities")
    a, b = _amount(items), _amount(other)
    return [a is not None and b is not None and align(a, b) is not None]
