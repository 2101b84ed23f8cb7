"""Validation of FHIR R4 resources against the specification and profiles, https://hl7.org/fhir/R4/validation.html.

A profile's snapshot becomes a plan of closures, compiled once and run over parsed JSON.
"""

from conformance.validation.terminology import CodeCheck, ListedTerminology, Terminology
from conformance.validation.validator import Validator, has_errors

__all__ = ["CodeCheck", "ListedTerminology", "Terminology", "Validator", "has_errors"]
