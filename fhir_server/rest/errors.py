"""The one converter from errors to a status and an OperationOutcome, https://hl7.org/fhir/R4/http.html#Status-Codes."""

from __future__ import annotations

import logging
from uuid import uuid4

from conformance.issues import InvalidResource, Issue
from fhir_server.errors import FhirError, InvalidRequest, Unprocessable

log = logging.getLogger("praxis.rest")

# Issues about content that is well-formed: with nothing worse beside them the status is 422.
SEMANTIC = frozenset(("code-invalid", "invariant", "business-rule"))


def as_fhir_error(error: Exception) -> FhirError:
    """Return the error to answer with. A defect is logged under an id, and only the id is told."""
    if isinstance(error, FhirError):
        return error
    if isinstance(error, InvalidResource):
        kind = Unprocessable if all(i.code in SEMANTIC for i in error.issues) else InvalidRequest
        return kind.of(error.issues)
    reference = uuid4().hex
    log.error("defect %s", reference, exc_info=error)
    defect = FhirError()
    defect.issues = [Issue("fatal", "exception", f"The server failed; its log has the details under {reference}.")]
    return defect
