"""How terminology operations fail, https://hl7.org/fhir/R4/terminology-service.html, and the issues that they report.

The codes in ``details`` are those of https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/ (``tx-issue-type``), which
clients of terminology servers tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
Severity = Literal["error", "warning", "information"]

ISSUE_TYPES = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"


@dataclass(frozen=True, slots=True)
class TerminologyIssue:
    """One issue: ``code`` is FHIR's issue type, ``detail`` one of ``tx-issue-type``, ``expression`` a FHIRPath.

    A ``silent`` one isn't repeated in a result's ``message``.
    """

    severity: Severity
    code: str
    detail: str
    text: str
    expression: str | None = None
    silent: bool = False

    def as_json(self) -> Json:
        """Return the ``OperationOutcome.issue`` element."""
        details = {"coding": [{"system": ISSUE_TYPES, "code": self.detail}], "text": self.text}
        made: Json = {"severity": self.severity, "code": self.code, "details": details}
        if self.expression:
            # Clients of R4 look for the place under either name.
            made |= {"expression": [self.expression], "location": [self.expression]}
        return made


def outcome_of(issues: Iterable[TerminologyIssue]) -> Json:
    """Return an OperationOutcome with these issues."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_json() for issue in issues]}


class TerminologyError(Exception):
    """An operation can't be carried out; ``status`` is that of HTTP, ``issue`` says why."""

    def __init__(self, status: int, code: str, detail: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.issue = TerminologyIssue("error", code, detail, text)

    @property
    def outcome(self) -> Json:
        """The OperationOutcome that says so."""
        return outcome_of((self.issue,))


class MissingResource(Exception):
    """A resource has to be fetched before an operation can go on; whoever waits for it tries again then."""

    def __init__(self, resource_type: str, canonical: str) -> None:
        super().__init__(f"{resource_type} {canonical}")
        self.resource_type = resource_type
        self.canonical = canonical


def unknown_value_set(canonical: str) -> TerminologyError:
    """Return the error that a value set isn't known."""
    return TerminologyError(
        404, "not-found", "not-found", f"A definition for the value Set '{canonical}' could not be found"
    )


def unknown_code_system(system: str, wanted: str | None, versions: Iterable[str], consequence: str) -> str:
    """Return the words that a code system, or the version wanted of it, isn't known; ``consequence`` follows *so*."""
    known = " or ".join(filter(None, versions))
    if not wanted:
        # An absolute URL stands by itself, everything else in quotes: these are the words that clients know.
        name = system if "/" in system else f"'{system}'"
        return f"A definition for CodeSystem {name} could not be found, so {consequence}"
    there = f"Valid versions: {known}" if known else "No versions of this code system are known"
    return f"A definition for CodeSystem '{system}' version '{wanted}' could not be found, so {consequence}. {there}"


def unsupported(text: str) -> TerminologyError:
    """Return the error that something of the specification isn't supported, or makes no sense here."""
    return TerminologyError(422, "not-supported", "vs-invalid", text)


def invalid(text: str) -> TerminologyError:
    """Return the error that parameters don't fit together."""
    return TerminologyError(400, "invalid", "invalid-data", text)
