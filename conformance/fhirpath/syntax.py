"""The abstract syntax of FHIRPath, https://hl7.org/fhirpath/N1/#expressions.

Every node is an immutable value. ``target`` is the expression left of the dot, or None at the start of a path,
where the focus (``$this``) is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from conformance.fhirpath.quantity import Quantity
from conformance.fhirpath.temporal import Temporal


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; None stands for the empty collection ``{}``."""

    value: bool | int | Decimal | str | Temporal | Quantity | None


@dataclass(frozen=True, slots=True)
class Variable:
    """``$this``, ``$index``, ``$total`` (name with the dollar) or ``%name`` (name with the percent sign)."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A step to the child elements called ``name``."""

    target: Expression | None
    name: str


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of a function on ``target``."""

    target: Expression | None
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Indexer:
    """``target[index]``."""

    target: Expression
    index: Expression


@dataclass(frozen=True, slots=True)
class Polarity:
    """A sign before an expression: ``+`` or ``-``."""

    sign: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """An operator between two expressions."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class TypeOperation:
    """``operand is type`` or ``operand as type``; ``type_name`` may be qualified (``System.String``)."""

    operator: str
    operand: Expression
    type_name: str


Expression: TypeAlias = Literal | Variable | Member | Invocation | Indexer | Polarity | Binary | TypeOperation


def operands(node: Expression) -> tuple[Expression, ...]:
    """Return the expressions directly below ``node``."""
    match node:
        case Member(target, _):
            return () if target is None else (target,)
        case Invocation(target, _, arguments):
            return arguments if target is None else (target, *arguments)
        case Indexer(target, index):
            return (target, index)
        case Polarity(_, operand) | TypeOperation(_, operand, _):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
    return ()


def qualified_name(node: Expression) -> str | None:
    """Return ``node`` read as a type specifier (``Patient``, ``System.String``), or None when it cannot be one."""
    match node:
        case Member(None, name):
            return name
        case Member(Member(None, namespace), name):
            return f"{namespace}.{name}"
    return None
