"""Identities the server assigns: the ``key`` of a row and the logical id of a resource."""

from __future__ import annotations

import os
import secrets
import time
from uuid import UUID

EPOCH_2024_MICROSECONDS = 1_704_067_200_000_000
SLOT_BITS = 10


class KeySequence:
    """Yields time-ordered signed 64-bit keys: microseconds since 2024, then a random slot of this process.

    Strictly increasing within a process. Two processes can only meet in the same microsecond with the same slot (1 in 1024);
    the unique constraint on the row refuses that and the write is tried again.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._slot = secrets.randbits(SLOT_BITS)
        self._last = 0

    def __call__(self) -> int:
        """Return the next key."""
        if os.getpid() != self._process:  # a forked worker must not share its parent's slot
            self._process, self._slot = os.getpid(), secrets.randbits(SLOT_BITS)
        self._last = max(self._last + 1, time.time_ns() // 1000 - EPOCH_2024_MICROSECONDS)
        return self._last << SLOT_BITS | self._slot


next_key = KeySequence()


def new_id() -> str:
    """Return a fresh logical id: a UUID version 7 (RFC 9562), whose time order keeps index pages warm."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return str(UUID(int=value))
