"""FHIRPath N1 over FHIR R4 resources as JSON, compiled to closures.

https://hl7.org/fhirpath/N1/ and https://hl7.org/fhir/R4/fhirpath.html. :func:`compile_path` serves search parameters,
:func:`evaluate` everything else. Numbers with a fraction are ``decimal.Decimal``, other numbers ``int``.
"""

from conformance.fhirpath.constraints import Check, ConstraintScope, compile_constraint
from conformance.fhirpath.errors import FHIRPathError, FHIRPathSyntaxError
from conformance.fhirpath.evaluation import evaluate
from conformance.fhirpath.frame import Hooks
from conformance.fhirpath.parser import parse
from conformance.fhirpath.quantity import Long, Quantity
from conformance.fhirpath.search import compile_path
from conformance.fhirpath.syntax import Expression
from conformance.fhirpath.temporal import Temporal

__all__ = [
    "Check",
    "ConstraintScope",
    "Expression",
    "FHIRPathError",
    "FHIRPathSyntaxError",
    "Hooks",
    "Long",
    "Quantity",
    "Temporal",
    "compile_constraint",
    "compile_path",
    "evaluate",
    "parse",
]
