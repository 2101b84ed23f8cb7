"""A session that only notes what it is asked to run, for tests of the statements' texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Noting:
    """Finds nothing; ``texts`` are the statements."""

    in_transaction = False

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def fetch(self, sql: str, parameters: Sequence[Any], *, steady: bool = False) -> list[tuple[Any, ...]]:  # noqa: ARG002 - as in Session
        """Note a statement, which takes just these parameters."""
        assert sql.count("%s") == len(parameters)
        self.texts.append(sql)
        return []
