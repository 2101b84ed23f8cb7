"""Snapshots of profiles and extensions, https://hl7.org/fhir/R4/profiling.html#snapshot."""

from conformance.snapshot.generate import Find, Snapshot, generate

__all__ = ["Find", "Snapshot", "generate"]
