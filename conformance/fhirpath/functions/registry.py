"""The table of functions by name, https://hl7.org/fhirpath/N1/#functions.

A function receives the evaluation frame, its input collection and its arguments: collections already evaluated, or,
when ``lazy``, expressions it evaluates itself for each item.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from conformance.fhirpath.items import Collection

Run = Callable[..., Collection]
_Declared = TypeVar("_Declared", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Function:
    """A function and how many arguments it takes; ``types`` marks one whose argument is a type specifier."""

    name: str
    run: Run
    minimum: int
    maximum: int
    lazy: bool
    types: bool


FUNCTIONS: dict[str, Function] = {}


def function(
    name: str, minimum: int = 0, maximum: int | None = None, *, lazy: bool = False, types: bool = False
) -> Callable[[_Declared], _Declared]:
    """Register the decorated function as ``name``, taking ``minimum`` to ``maximum`` arguments."""

    def register(run: _Declared) -> _Declared:
        FUNCTIONS[name] = Function(name, run, minimum, minimum if maximum is None else maximum, lazy, types)
        return run

    return register
