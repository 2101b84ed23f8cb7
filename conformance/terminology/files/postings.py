"""Sorted keys in a concept file and, for each, the sorted numbers of the concepts that have it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


class Postings:
    """Keys are bytes. The numbers of neighbouring keys lie side by side, so those of a prefix are one slice."""

    def __init__(
        self, keys: memoryview, key_starts: Sequence[int], items: Sequence[int], item_starts: Sequence[int]
    ) -> None:
        self._keys, self._key_starts = keys, key_starts
        self._items, self._item_starts = items, item_starts
        self._places = range(len(key_starts) - 1)

    def _key(self, place: int) -> bytes:
        return bytes(self._keys[self._key_starts[place] : self._key_starts[place + 1]])

    def exactly(self, key: bytes) -> Sequence[int]:
        """Return the numbers of a key, sorted."""
        place = bisect_left(self._places, key, key=self._key)
        end = place + (place < len(self._places) and self._key(place) == key)
        return self._items[self._item_starts[place] : self._item_starts[end]]

    def starting(self, prefix: bytes) -> Sequence[int]:
        """Return the numbers of all keys with a prefix, not sorted and with repetitions."""
        size = len(prefix)
        place = bisect_left(self._places, prefix, key=self._key)
        end = bisect_right(self._places, prefix, lo=place, key=lambda p: self._key(p)[:size])
        return self._items[self._item_starts[place] : self._item_starts[end]]
