"""What can go wrong with a FHIRPath expression, https://hl7.org/fhirpath/N1/."""

from __future__ import annotations


class FHIRPathError(Exception):
    """An expression could not be compiled or evaluated; the message says why."""


class FHIRPathSyntaxError(FHIRPathError):
    """The text is not FHIRPath. ``position`` counts characters from 0; ``expected`` names what would have fitted."""

    def __init__(self, message: str, position: int, expected: str) -> None:
        super().__init__(f"{message} at position {position}: expected {expected}")
        self.message = message
        self.position = position
        self.expected = expected
