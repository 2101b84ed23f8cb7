"""FHIR over HTTP: the only code that knows HTTP."""
