"""Why a patch is not applied, https://hl7.org/fhir/R4/http.html#patch."""

from __future__ import annotations

from conformance.issues import InvalidResource, Issue


class MalformedPatch(InvalidResource):
    """The document is no patch of its format: a fault of the request whatever the resource holds (400)."""


class InapplicablePatch(InvalidResource):
    """A well-formed patch doesn't fit this resource: a failed ``test``, a path that selects nothing or too much (422)."""


def malformed(diagnostics: str, expression: str | None = None, *, code: str = "structure") -> MalformedPatch:
    """Return the refusal of a document that is no patch."""
    return MalformedPatch([Issue("error", code, diagnostics, expression)])


def inapplicable(diagnostics: str, expression: str | None = None) -> InapplicablePatch:
    """Return the refusal of a patch that doesn't fit; ``expression`` is the FHIRPath of the place in the resource."""
    return InapplicablePatch([Issue("error", "business-rule", diagnostics, expression)])
