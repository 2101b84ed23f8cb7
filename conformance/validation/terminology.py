"""What the validator asks of a terminology: https://hl7.org/fhir/R4/terminologies.html#strength.

Value sets whose codes can be listed become plain sets, so that a binding costs one lookup; everything else is asked
code by code.
"""

from __future__ import annotations

from typing import Protocol

from conformance.terminology import shipped
from conformance.terminology.code_system import Json
from conformance.terminology.listing import Pair
from conformance.terminology.membership import CodeCheck, Membership
from conformance.terminology.source import Find, FindSource, Sources

__all__ = ["CodeCheck", "Find", "Pair", "Terminology", "terminology_of"]


class Terminology(Protocol):
    """What the validator needs of code systems and value sets; canonicals may carry ``|version``."""

    def check(
        self, value_set: str, system: str | None, code: str, version: str | None = None, display: str | None = None
    ) -> CodeCheck:
        """Tell whether a code is in a value set; without a system, whether it is there in any."""

    def check_in(self, value_set: Json, system: str | None, code: str) -> CodeCheck:
        """Tell whether a code is in a value set that is at hand itself."""

    def check_coding(self, system: str, code: str, version: str | None = None, display: str | None = None) -> CodeCheck:
        """Tell whether a code system has a code; a message beside True says what is wrong with ``display``."""

    def membership(self, value_set: str) -> frozenset[Pair] | None:
        """Return the (system, code) pairs of a value set, None where they cannot be listed completely."""


def terminology_of(find: Find) -> Terminology:
    """Return a terminology of what ``find`` knows, with the shipped one behind it."""
    return Membership(Sources(FindSource(find), _Shipped()))


class _Shipped:
    """The shipped terminology, which is a module, as a source."""

    find = staticmethod(shipped.find)
    code_system = staticmethod(shipped.code_system)
    versions = staticmethod(shipped.versions)
