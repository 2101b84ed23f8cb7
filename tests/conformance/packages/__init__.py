"""FHIR packages, https://hl7.org/fhir/packages.html."""
