"""The functions of FHIRPath, https://hl7.org/fhirpath/N1/#functions; importing this package registers them."""

from conformance.fhirpath.functions import conversion, existence, math, moments, quantities, selection, strings, utility
from conformance.fhirpath.functions.registry import FUNCTIONS, Function

__all__ = [
    "FUNCTIONS",
    "Function",
    "conversion",
    "existence",
    "math",
    "moments",
    "quantities",
    "selection",
    "strings",
    "utility",
]
