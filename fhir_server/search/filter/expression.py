"""The tree that a ``_filter`` is, and how it is written, https://hl7.org/fhir/R4/search_filter.html."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

OPERATORS = (
    "eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "ni", "re",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Value:
    """What is compared with: a quoted string, its escapes resolved, or a bare number, date or token."""

    text: str
    quoted: bool

    def __str__(self) -> str:
        return json.dumps(self.text, ensure_ascii=False) if self.quoted else self.text


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path; ``modifier`` a type (``subject:Patient``), ``within`` what the target must also fulfil."""

    name: str
    modifier: str | None = None
    within: Expression | None = None
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        modifier = "" if self.modifier is None else f":{self.modifier}"
        return f"{self.name}{modifier}" + ("" if self.within is None else f"[{self.within}]")


@dataclass(frozen=True, slots=True)
class Test:
    """A path compared with a value. ``position`` counts characters from 1."""

    path: tuple[Step, ...]
    operator: str
    value: Value
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name} {self.operator} {self.value}"

    @property
    def name(self) -> str:
        """The path as it is written."""
        return ".".join(map(str, self.path))


@dataclass(frozen=True, slots=True)
class Logical:
    """Several expressions, all of which (``and``) or any of which (``or``) must hold."""

    operator: Literal["and", "or"]
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return f" {self.operator} ".join(f"({p})" if isinstance(p, Logical) else str(p) for p in self.parts)


@dataclass(frozen=True, slots=True)
class Negation:
    """An expression that must not hold."""

    part: Expression

    def __str__(self) -> str:
        return f"not ({self.part})"


Expression = Test | Logical | Negation
