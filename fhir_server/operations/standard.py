"""The server's own operations: those of the specification that it implements, and $merge."""

from __future__ import annotations

from fhir_server.operations import (
    document,
    everything,
    fhirpath,
    lastn,
    match,
    merge,
    meta,
    packages,
    reindex,
    validate,
)
from fhir_server.operations.built_in import BuiltIn
from fhir_server.operations.graphql import GRAPHQL
from fhir_server.operations.terminology import TERMINOLOGY

STANDARD: tuple[BuiltIn, ...] = (
    everything.PATIENT,
    everything.ENCOUNTER,
    lastn.LASTN,
    meta.META,
    meta.META_ADD,
    meta.META_DELETE,
    document.DOCUMENT,
    match.MATCH,
    merge.MERGE,
    reindex.REINDEX,
    fhirpath.FHIRPATH,
    packages.INSTALL,
    validate.VALIDATE,
    GRAPHQL,
    *TERMINOLOGY,
)
