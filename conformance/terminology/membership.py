"""What a validator asks of terminology, https://hl7.org/fhir/R4/terminologies.html#strength.

Value sets whose codes can be listed become plain sets, so that a binding costs one lookup; everything else is asked
code by code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.terminology.code_system import Json
from conformance.terminology.displays import check_display
from conformance.terminology.errors import TerminologyError
from conformance.terminology.grammars import GRAMMARS
from conformance.terminology.listing import Pair, list_codes
from conformance.terminology.scope import Scope
from conformance.terminology.source import Source
from conformance.terminology.value_sets import Part, ValueSet

_MOST_KEPT = 5_000
_PARTLY = frozenset(("fragment", "example"))


@dataclass(frozen=True, slots=True)
class CodeCheck:
    """Whether a code is a member: True, False, or None where that cannot be known here; ``message`` says why."""

    member: bool | None
    message: str = ""


_YES, _NO = CodeCheck(True), CodeCheck(False)


class Membership:
    """Value sets and code systems of a source, as a validator asks for them. What it finds is kept."""

    def __init__(self, source: Source) -> None:
        self._scope = Scope(source)
        self._members: dict[str, frozenset[Pair] | None] = {}

    def membership(self, value_set: str) -> frozenset[Pair] | None:
        """Return the (system, code) pairs of a value set, None where they cannot be listed completely."""
        if value_set not in self._members:
            # Resources may name what they like, so there is no end of it.
            if len(self._members) >= _MOST_KEPT:
                self._members.clear()
            self._members[value_set] = self._list(value_set)
        return self._members[value_set]

    def _list(self, canonical: str) -> frozenset[Pair] | None:
        try:
            pairs = list_codes(self._scope.value_set(canonical))
        except TerminologyError:
            return None
        return pairs if all(code for _, code in pairs) else None

    def check(
        self, value_set: str, system: str | None, code: str, version: str | None = None, display: str | None = None
    ) -> CodeCheck:
        """Tell whether a code is in a value set; without a system, whether it is there in any.

        ``version`` and ``display`` don't decide of membership: :meth:`check_coding` judges them.
        """
        del version, display
        try:
            return self._judge(self._scope.value_set(value_set), system, code)
        except TerminologyError as error:
            return CodeCheck(None, error.issue.text)

    def check_in(self, value_set: Json, system: str | None, code: str) -> CodeCheck:
        """Tell whether a code is in a value set that is here itself, a contained one say."""
        try:
            return self._judge(ValueSet(value_set, self._scope), system, code)
        except TerminologyError as error:
            return CodeCheck(None, error.issue.text)

    def _judge(self, value_set: ValueSet, system: str | None, code: str) -> CodeCheck:
        try:
            value_set.link()
            systems = [system] if system is not None else list(dict.fromkeys(_systems(value_set)))
            if any(value_set.holds(known, code) for known in systems):
                return _YES
        except TerminologyError:
            if value_set.stored is None:
                raise
            return self._judge(value_set.stored, system, code)
        unknown = next((part.system for part in value_set.parts() if _open(part, system)), None)
        if unknown is not None and value_set.stored is not None:
            return self._judge(value_set.stored, system, code)
        return _NO if unknown is None else CodeCheck(None, f"the code system {unknown} is not known here")

    def check_coding(self, system: str, code: str, version: str | None = None, display: str | None = None) -> CodeCheck:
        """Tell whether a code system has a code, and whether ``display`` is one of its names."""
        found = self._scope.code_system(system, version)
        if found is None:
            known = f"the version {version} of the code system {system}" if version else f"the code system {system}"
            return CodeCheck(None, f"{known} is not known here")
        concept = found.find(code)
        if concept is None and not found.resource.get("caseSensitive", True):
            concept = found.find_folded(code)
        if concept is None:
            partly = found.resource.get("content") in _PARTLY
            return CodeCheck(None, f"the code system {system} is here in parts only") if partly else _NO
        if display is not None and system not in GRAMMARS:
            language = found.resource.get("language")
            issue = check_display(display, concept, "display", (system, language), (), lenient=False)
            if issue is not None:
                return CodeCheck(True, issue.text)
        return _YES


def _systems(value_set: ValueSet) -> Iterator[str]:
    return (part.system for part in value_set.parts() if part.system is not None)


def _open(part: Part, system: str | None) -> bool:
    """Tell whether a part may hold more codes of a system than are known here."""
    if part.system is None or part.listed is not None or system not in (None, part.system):
        return False
    return part.code_system is None or part.code_system.resource.get("content") in _PARTLY
