"""Hierarchies as arrays: the neighbours of concept 0, then those of concept 1 …, and where each list begins."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

from conformance.terminology.files.errors import InvalidContent

_UNSEEN, _OPEN, _DONE = 0, 1, 2


def invert(items: Sequence[int], starts: Sequence[int]) -> tuple[array[int], array[int]]:
    """Return the same links the other way round, each list in the order of the source."""
    count = len(starts) - 1
    sizes = array("I", bytes(4 * count))
    for item in items:
        sizes[item] += 1
    made_starts = array("I", [0])
    for size in sizes:
        made_starts.append(made_starts[-1] + size)
    made = array("I", bytes(4 * len(items)))
    filled = array("I", made_starts)
    for number in range(count):
        for place in range(starts[number], starts[number + 1]):
            item = items[place]
            made[filled[item]] = number
            filled[item] += 1
    return made, made_starts


def order_parents_first(parents: Sequence[int], starts: Sequence[int], code: Callable[[int], str]) -> array[int]:
    """Return the numbers in the order of the source, but parents first; empty if nothing has to move.

    Raises InvalidContent, with the codes, when a concept is above itself.
    """
    count = len(starts) - 1
    if all(parents[p] < n for n in range(count) for p in range(starts[n], starts[n + 1])):
        return array("I")
    order = array("I")
    state = bytearray(count)
    for number in range(count):
        if state[number] == _UNSEEN:
            _visit(number, parents, starts, state, order, code)
    return order


def _visit(
    number: int,
    parents: Sequence[int],
    starts: Sequence[int],
    state: bytearray,
    order: array[int],
    code: Callable[[int], str],
) -> None:
    """Append a concept to the order, after all that is above it."""
    path: list[tuple[int, Iterator[int]]] = []

    def enter(which: int) -> None:
        state[which] = _OPEN
        path.append((which, iter(range(starts[which], starts[which + 1]))))

    enter(number)
    while path:
        current, places = path[-1]
        above = next((parents[p] for p in places if state[parents[p]] != _DONE), None)
        if above is None:
            path.pop()
            state[current] = _DONE
            order.append(current)
        elif state[above] == _OPEN:
            circle = [n for n, _ in path]
            names = [code(n) for n in (*circle[circle.index(above) :], above)]
            raise InvalidContent(f"the hierarchy is a circle: {' below '.join(names)}")
        else:
            enter(above)
