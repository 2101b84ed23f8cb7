"""Sets of codes of a concept file that are not listed before somebody asks for the list."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Protocol


class Numbered(Protocol):
    """A code system whose concepts have numbers, in the order of the source."""

    def number_of(self, code: str) -> int | None:
        """Return a code's number."""

    def code_at(self, number: int) -> str:
        """Return a number's code."""

    def parents_at(self, number: int) -> Sequence[int]:
        """Return the numbers of the concepts directly above."""

    def children_at(self, number: int) -> Sequence[int]:
        """Return the numbers of the concepts directly below."""


class Codes(Collection[str]):
    """The codes whose numbers are in any of several sorted lists without repetitions."""

    def __init__(self, system: Numbered, lists: Iterable[Sequence[int]]) -> None:
        self._system = system
        self._lists = [numbers for numbers in lists if numbers]

    @cached_property
    def _numbers(self) -> Sequence[int]:
        return self._lists[0] if len(self._lists) == 1 else sorted(set().union(*self._lists))

    def __contains__(self, code: object) -> bool:
        number = self._system.number_of(code) if isinstance(code, str) else None
        if number is None:
            return False
        place = bisect_left(self._numbers, number)
        return place < len(self._numbers) and self._numbers[place] == number

    def __iter__(self) -> Iterator[str]:
        return map(self._system.code_at, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class Above(Codes):
    """A concept and all above it."""

    def __init__(self, system: Numbered, number: int) -> None:
        super().__init__(system, [sorted(_closure(number, system.parents_at))])


class Below(Codes):
    """A concept and all below it. Whether a code is among them is asked upwards, where there are few to look at."""

    def __init__(self, system: Numbered, number: int) -> None:
        super().__init__(system, ())
        self._number = number

    @cached_property
    def _numbers(self) -> Sequence[int]:
        return sorted(_closure(self._number, self._system.children_at))

    def __contains__(self, code: object) -> bool:
        number = self._system.number_of(code) if isinstance(code, str) else None
        return number is not None and self._number in _closure(number, self._system.parents_at)


def _closure(number: int, step: Callable[[int], Iterable[int]]) -> set[int]:
    """Return a number and all that are reached from it."""
    found, waiting = {number}, [number]
    while waiting:
        for other in step(waiting.pop()):
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found
