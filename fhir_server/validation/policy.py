"""How strictly writes are held to the rules of R4 and of profiles, https://hl7.org/fhir/R4/validation.html.

Structure is no matter of policy: what can't be read as R4 is never stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from conformance.definitions import resource_types

Level = Literal["off", "warn", "enforce"]
_LEVELS: Mapping[str, Level] = MappingProxyType({level: level for level in get_args(Level)})
_ALL = "*"
DEFAULT: Level = "warn"
"""Data of real systems, and 13 of FHIR's 714 examples, break rules: it has to come in, and it is told what is wrong with it."""


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """What happens to a resource that breaks a rule: nothing is checked, it is stored and told, or it is refused.

    ``levels`` are by resource type; ``general`` goes for all other types.
    """

    general: Level = DEFAULT
    levels: Mapping[str, Level] = field(default_factory=dict)

    def level(self, resource_type: str) -> Level:
        """Return the level for a resource type."""
        return self.levels.get(resource_type, self.general)


def parse_policy(text: str) -> WritePolicy:
    """Read ``warn``, or ``Patient=enforce,*=warn``; types that aren't named are warned about. Raises ValueError."""
    levels: dict[str, Level] = {}
    for part in text.split(","):
        name, equals, wanted = (piece.strip() for piece in part.partition("="))
        if not equals:
            name, wanted = _ALL, name
        level = _LEVELS.get(wanted)
        if level is None:
            raise ValueError(f"'{wanted[:40]}' is none of {', '.join(_LEVELS)}; write warn, or Patient=enforce,*=warn")
        if name != _ALL and name not in resource_types():
            raise ValueError(f"'{name[:40]}' is no resource type of R4; write Patient=enforce,*=warn")
        if name in levels:
            raise ValueError(f"{name} is given twice")
        levels[name] = level
    general = levels.pop(_ALL, DEFAULT)
    return WritePolicy(general, MappingProxyType(levels))
