"""What search needs of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Session(Protocol):
    """Runs statements."""

    async def fetch(self, sql: str, parameters: Sequence[Any], *, steady: bool = False) -> list[tuple[Any, ...]]:
        """Run one statement with ``%s`` parameters and return its rows; ``steady``: one plan is good for all values."""

    @property
    def in_transaction(self) -> bool:
        """Whether it is in a transaction, so that what it sees may be undone."""
