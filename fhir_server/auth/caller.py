"""The caller of a request and the grants it holds.

Grants say which interactions on which resource types a caller may use and, optionally, which resources: ``criteria`` are
search parameters that every resource read or written under the grant must match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Interaction = Literal["create", "read", "update", "delete", "search", "operation", "expunge"]
ALL_INTERACTIONS: frozenset[Interaction] = frozenset(("create", "read", "update", "delete", "search", "operation"))
"""What a grant allows unless it says otherwise: all but ``expunge``, which removes history and is granted by name."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission.

    ``resource_type`` is a type's name or ``*``; ``criteria`` are (name, value) search parameters, all of which must match.
    """

    resource_type: str = "*"
    interactions: frozenset[Interaction] = ALL_INTERACTIONS
    criteria: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a subject for the audit trail, the tenant it belongs to, and its grants."""

    subject: str
    tenant: int
    grants: tuple[Grant, ...]

    def grants_for(self, interaction: Interaction, resource_type: str) -> tuple[Grant, ...]:
        """Return the grants that allow an interaction on a type; none means forbidden."""
        return tuple(
            g for g in self.grants if interaction in g.interactions and g.resource_type in ("*", resource_type)
        )


DEFAULT_TENANT = 1


def anonymous() -> Caller:
    """Return the caller under ``--auth off``: everything in the default tenant, expunging included."""
    return Caller("anonymous", DEFAULT_TENANT, (Grant(interactions=ALL_INTERACTIONS | {"expunge"}),))
