"""A search as it is sent, https://hl7.org/fhir/R4/http.html#search, with what is worth knowing of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """A search: where it is sent to, its pairs, and the features of the server that it needs."""

    resource_type: str | None
    compartment: tuple[str, str] | None
    pairs: tuple[tuple[str, str], ...]
    features: frozenset[str]
    posted: bool = False

    @property
    def path(self) -> str:
        """The path below the FHIR base."""
        if self.compartment:
            return f"/{'/'.join(self.compartment)}/{self.resource_type or '*'}"
        return f"/{self.resource_type}" if self.resource_type else ""

    def __str__(self) -> str:
        return (
            f"{'POST ' if self.posted else ''}{self.path}?{'&'.join(f'{name}={value}' for name, value in self.pairs)}"
        )


@dataclass(frozen=True)
class Criterion:
    """One pair and the features it needs."""

    name: str
    value: str
    features: frozenset[str]
