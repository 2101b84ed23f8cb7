"""What can go wrong with a FHIRPath expression, https://hl7.org/fhirpath/N1/."""

from __future__ import annotations


class FHIRPathError(Exception):
    """An expression could not be compiled or evaluated; the message says why."""


class FHIRPathSyntaxError(FHIRPathError):
    """The text is not FHIRPath.

    ``position`` counts characters from 0, ``line`` and ``column`` from 1; ``expected`` names what would have fitted.
    """

    def __init__(self, message: str, position: int, expected: str, text: str = "") -> None:
        before = text[:position]
        self.message = message
        self.position = position
        self.expected = expected
        self.line = before.count("\n") + 1
        self.column = position - before.rfind("\n") if "\n" in before else position + 1
        super().__init__(f"{message} at line {self.line}, column {self.column}: expected {expected}")
