"""Grouping by anchors: which segments belong together, told from the order alone.

Real messages leave segments out, repeat them and put them in odd places, so this does not follow the strict
structures of HL7 v2.9 chapter 7
(https://www.hl7.eu/HL7v2x/v29/std29/ch07.html). maps/anchors.csv says which segment opens a group: ``always``, or
``once`` the group at hand has one of that name already. Any other segment belongs to the innermost open group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from mappers.hl7v2.maps import Anchor, anchors
from mappers.hl7v2.tokenizer import Message, Segment

SCOPES = ("message", "patient", "order", "observation")
_INSIDE = {"specimen": "observation"}  # a specimen stands beside the observations of its order


@dataclass(slots=True)
class Group:
    """Segments that belong together; ``scope`` is message, patient, order, specimen or observation."""

    scope: str
    segments: list[Segment] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def first(self, name: str) -> Segment | None:
        """Return the group's own first segment of a name, or None."""
        return next((s for s in self.segments if s.name == name), None)

    def inner(self, scope: str) -> list[Group]:
        """Return the groups of a scope directly inside."""
        return [g for g in self.groups if g.scope == scope]


@cache
def _opening(message_code: str) -> dict[str, Anchor]:
    return {a.segment: a for a in anchors()[message_code] if a.opens}


def group(message: Message, message_code: str) -> Group:
    """Return a message's segments as nested groups."""
    opening = _opening(message_code)
    root = Group("message")
    stack = [root]
    for segment in message.segments:
        anchor = opening.get(segment.name)
        if anchor is not None:
            depth = SCOPES.index(_INSIDE.get(anchor.scope, anchor.scope))
            open_group = next((g for g in stack if g.scope == anchor.scope), None)
            joins = anchor.opens == "once" and open_group is not None and open_group.first(segment.name) is None
            if joins and open_group is not None and not open_group.groups:
                open_group.segments.append(segment)
                continue
            stack = [g for g in stack if SCOPES.index(_INSIDE.get(g.scope, g.scope)) < depth]
            opened = Group(anchor.scope)
            stack[-1].groups.append(opened)
            stack.append(opened)
        stack[-1].segments.append(segment)
    return root
