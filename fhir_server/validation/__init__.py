"""Validation as the server does it: by tenant, by its policy, off the event loop, https://hl7.org/fhir/R4/validation.html."""
