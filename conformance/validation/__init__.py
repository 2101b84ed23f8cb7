"""Validation of FHIR R4 resources against the specification and profiles, https://hl7.org/fhir/R4/validation.html.

A profile's snapshot becomes a plan of closures, compiled once and run over parsed JSON.
"""

from conformance.validation.policy import Policy
from conformance.validation.terminology import CodeCheck, Terminology, terminology_of
from conformance.validation.validator import Validator, has_errors

__all__ = ["CodeCheck", "Policy", "Terminology", "Validator", "has_errors", "terminology_of"]
