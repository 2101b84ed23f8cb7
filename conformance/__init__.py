"""FHIR R4 (4.0.1) itself: definitions as data, generated models, FHIRPath, the CapabilityStatement.

No server and no database: this package is usable as a library on its own.
"""
