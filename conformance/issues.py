"""Issues and the OperationOutcome that carries them, https://hl7.org/fhir/R4/operationoutcome.html."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["fatal", "error", "warning", "information"]

_LINE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-line"
_COLUMN = "http://hl7.org/fhir/StructureDefinition/operationoutcome-issue-col"


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue: ``code`` is from https://hl7.org/fhir/R4/valueset-issue-type.html, ``expression`` a FHIRPath or None.

    ``line`` and ``column`` count from 1, where the issue is in a text that is at hand. ``coding`` is the system and code of
    ``details`` that programs tell issues apart by; the words stand beside it then.
    """

    severity: Severity
    code: str
    diagnostics: str
    expression: str | None = None
    line: int | None = None
    column: int | None = None
    coding: tuple[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the ``OperationOutcome.issue`` element."""
        out: dict[str, Any] = {"severity": self.severity, "code": self.code}
        if self.coding is None:
            out["diagnostics"] = self.diagnostics
        else:
            system, code = self.coding
            out["details"] = {"coding": [{"system": system, "code": code}], "text": self.diagnostics}
        if self.expression is not None:
            out["expression"] = [self.expression]
        if self.line is not None and self.column is not None:
            places = ((_LINE, self.line), (_COLUMN, self.column))
            out["extension"] = [{"url": url, "valueInteger": place} for url, place in places]
        return out


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """Return an OperationOutcome resource with these issues, in order."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_json() for issue in issues]}


class InvalidResource(Exception):
    """A resource or value was refused; ``issues`` lists every reason."""

    def __init__(self, issues: list[Issue]) -> None:
        super().__init__("; ".join(i.diagnostics for i in issues))
        self.issues = issues
