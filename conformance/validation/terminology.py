"""What the validator asks of a terminology: https://hl7.org/fhir/R4/terminologies.html#strength.

Value sets whose codes can be listed become plain sets, so that a binding costs one lookup; everything else is asked
code by code. :class:`ListedTerminology` answers both from ValueSets and CodeSystems that a ``Find`` knows.
"""

from __future__ import annotations

from typing import Protocol

from conformance.terminology import shipped
from conformance.terminology.listing import Pair
from conformance.terminology.membership import CodeCheck, Membership
from conformance.terminology.source import Find, FindSource, Sources

__all__ = ["CodeCheck", "ListedTerminology", "Terminology"]


class Terminology(Protocol):
    """What the validator needs of code systems and value sets; canonicals may carry ``|version``."""

    def check(
        self, value_set: str, system: str | None, code: str, version: str | None = None, display: str | None = None
    ) -> CodeCheck:
        """Tell whether a code is in a value set; without a system, whether it is there in any."""

    def check_coding(self, system: str, code: str, version: str | None = None, display: str | None = None) -> CodeCheck:
        """Tell whether a code system has a code, and whether ``display`` is one of its names."""

    def membership(self, value_set: str) -> frozenset[Pair] | None:
        """Return the (system, code) pairs of a value set, None where they cannot be listed completely."""


class ListedTerminology(Membership):
    """The terminology of the resources of a ``Find``, with what comes with the server behind it."""

    def __init__(self, find: Find | None = None) -> None:
        super().__init__(Sources(FindSource(find), shipped) if find is not None else shipped)
