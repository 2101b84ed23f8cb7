"""The query as written: names, modifiers, chains and alternatives, and nothing yet of their meaning.

https://hl7.org/fhir/R4/search.html#Introduction
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forward:
    """A step by a parameter's name: ``code``, ``subject:Patient``, ``name:exact``."""

    name: str
    modifier: str | None = None


@dataclass(frozen=True, slots=True)
class Reverse:
    """A step against a reference: ``_has:Observation:patient`` comes from the Observations whose patient is this."""

    resource_type: str
    reference: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """One parameter: steps of which the last is a Forward, alternatives still escaped, and the pair as it was given."""

    path: tuple[Forward | Reverse, ...]
    values: tuple[str, ...]
    name: str
    value: str

    @property
    def last(self) -> Forward:
        """The parameter that is compared."""
        step = self.path[-1]
        assert isinstance(step, Forward)  # noqa: S101 - parse makes no other
        return step
