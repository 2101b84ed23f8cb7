"""The one converter from errors to a status and an OperationOutcome, https://hl7.org/fhir/R4/http.html#Status-Codes.

HTTP responses and Bundle entries both use it, so a failure looks the same wherever it happens.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

from conformance.issues import InvalidResource, Issue, operation_outcome
from conformance.patch import InapplicablePatch, MalformedPatch
from fhir_server.errors import Conflict, FhirError, InvalidRequest, Unprocessable

log = logging.getLogger("praxis.failures")

# Issues about content that is well-formed: with nothing worse beside them the status is 422.
SEMANTIC = frozenset(("code-invalid", "invariant", "business-rule"))
SERVER_ERROR = 500
# Diagnostics quote the request; what no FHIR string may hold must not come back in them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def as_fhir_error(error: Exception) -> FhirError:
    """Return the error to answer with. A defect is logged under an id, and only the id is told."""
    if isinstance(error, FhirError):
        return error
    if isinstance(error, MalformedPatch):
        return InvalidRequest.of(error.issues)
    if isinstance(error, InapplicablePatch):
        return Unprocessable.of(error.issues)
    if isinstance(error, InvalidResource):
        kind = Unprocessable if all(i.code in SEMANTIC for i in error.issues) else InvalidRequest
        return kind.of(error.issues)
    reference = uuid4().hex
    log.error("defect %s", reference, exc_info=error)
    defect = FhirError()
    defect.issues = [Issue("fatal", "exception", f"The server failed; its log has the details under {reference}.")]
    return defect


def outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """Return a valid OperationOutcome: what a FHIR string can't hold is replaced, what is empty is named."""
    return operation_outcome(
        replace(
            issue,
            diagnostics=_printable(issue.diagnostics) or issue.code,
            expression=None if issue.expression is None else _printable(issue.expression),
        )
        for issue in issues
    )


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("\ufffd", text)


def at_element(error: Exception, expression: str | None) -> FhirError:
    """Return a refusal with its issues placed at an element of the resource that was sent, where they name none yet."""
    refused = as_fhir_error(error)
    refused.issues = [i if i.expression is not None else replace(i, expression=expression) for i in refused.issues]
    return refused


def locate(error: FhirError, expression: str) -> FhirError:
    """Return the error with every issue placed below ``expression``, the FHIRPath of a Bundle's entry."""
    error.issues = [replace(i, expression=_below(expression, i.expression)) for i in error.issues]
    return error


def _below(expression: str, inner: str | None) -> str:
    if inner is None:
        return expression
    if inner.startswith("Bundle.entry["):
        return inner
    _, dot, rest = inner.partition(".")
    return f"{expression}.resource{dot}{rest}"


class Refusals:
    """What is wrong with the entries of a transaction, gathered so that the client hears all of it at once."""

    def __init__(self) -> None:
        self._errors: list[FhirError] = []

    @contextmanager
    def at(self, expression: str | None) -> Iterator[None]:
        """Keep a refusal raised inside, placed at ``expression``, or where it says itself.

        A conflict passes through, since another attempt may succeed, and so does a failure of the server.
        """
        try:
            yield
        except (FhirError, InvalidResource) as error:
            refused = as_fhir_error(error)
            if isinstance(refused, Conflict) or refused.status >= SERVER_ERROR:
                raise
            self._errors.append(refused if expression is None else locate(refused, expression))

    def settle(self) -> None:
        """Raise the first refusal, with the issues of them all; return when there is none."""
        if self._errors:
            first = self._errors[0]
            first.issues = [issue for error in self._errors for issue in error.issues]
            raise first
