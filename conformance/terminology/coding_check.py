"""Whether a coding is right: in its code system, in a value set, in which version, under which display.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html. Everything wrong is collected with the place it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conformance.terminology.code_system import CodeSystem, Concept, Json
from conformance.terminology.displays import check_display
from conformance.terminology.errors import TerminologyError, TerminologyIssue, unknown_code_system
from conformance.terminology.expand import display_language
from conformance.terminology.grammars import GRAMMARS
from conformance.terminology.languages import display_in, parse_languages
from conformance.terminology.scope import Scope
from conformance.terminology.value_sets import Part, ValueSet
from conformance.terminology.versions import NO_RULES, VersionRules, fits, newest

_CONSEQUENCE = "the code cannot be validated"


@dataclass(frozen=True, slots=True)
class ValidateCodeParameters:
    """The parameters of ``$validate-code``: one of ``code`` (with ``system``), ``coding`` and ``codeable_concept``.

    For a value set one of ``url`` and ``value_set`` is there. For a code system ``url`` (or ``system``) names it;
    ``code_system`` is one given inline.
    """

    url: str | None = None
    value_set: Json | None = None
    value_set_version: str | None = None
    code_system: Json | None = None
    code: str | None = None
    system: str | None = None
    system_version: str | None = None
    display: str | None = None
    coding: Json | None = None
    codeable_concept: Json | None = None
    abstract: bool | None = None
    display_language: str | None = None
    active_only: bool = False
    infer_system: bool = False
    lenient_display: bool = False
    membership_only: bool = False
    rules: VersionRules = NO_RULES
    use_supplement: tuple[str, ...] = ()

    def in_system(self, system: str | None) -> ValidateCodeParameters:
        """Return the same with the code system named where a code or coding doesn't name its own."""
        if self.code is not None:
            return replace(self, system=system)
        if self.coding is not None and system is not None:
            return replace(self, coding={"system": system} | self.coding)
        return self


@dataclass(slots=True)
class Verdict:
    """What came out for one coding; ``undecided`` if its code system isn't known as the value set includes it."""

    coding: Json
    concept: Concept | None = None
    code_system: CodeSystem | None = None
    member: bool = False
    undecided: bool = False
    issues: list[TerminologyIssue] = field(default_factory=list)
    unknown: str | None = None
    wrong_version: str | None = None

    @property
    def failed(self) -> bool:
        """Whether anything is wrong with the coding."""
        return any(issue.severity == "error" for issue in self.issues)


class CodingCheck:
    """Checks codings against a value set, or against nothing but their code systems."""

    def __init__(self, scope: Scope, value_set: ValueSet | None, asked: ValidateCodeParameters) -> None:
        self._scope = value_set.scope if value_set is not None else scope
        self._value_set = value_set
        self._asked = asked
        wanted = asked.display_language
        if value_set is not None:
            wanted = display_language(value_set, wanted)
        self._languages = parse_languages(wanted or "")

    def check(self, coding: Json, place: str) -> Verdict:
        """Return the verdict on a coding; ``place`` is the FHIRPath of it, empty for code and system by themselves."""
        system = coding.get("system", "")
        url = self._scope.url_of(system)
        coding = coding if url == system else coding | {"system": url}
        if self._value_set is None:
            verdict = Verdict(coding)
            self._find_in_system(verdict, place)
            verdict.member = verdict.concept is not None
        else:
            verdict = self._against(self._value_set, coding, place)
        if verdict.concept is not None and not self._asked.membership_only:
            self._check_concept(verdict, verdict.concept, place)
        return verdict

    def _against(self, value_set: ValueSet, coding: Json, place: str) -> Verdict:
        """Return the verdict by a value set's compose or, where that leads to what isn't known, by its expansion."""
        verdict = Verdict(coding)
        try:
            self._find_in_value_set(verdict, value_set, place)
        except TerminologyError:
            if value_set.stored is None:
                raise
            verdict.undecided = True
        if not verdict.undecided or value_set.stored is None:
            return verdict
        return self._against(value_set.stored, coding, place)

    def _find_in_value_set(self, verdict: Verdict, value_set: ValueSet, place: str) -> None:
        coding = verdict.coding
        system, code = coding.get("system", ""), coding.get("code", "")
        verdict.member = any(
            self._in_part(part, verdict, place) for part in value_set.includes
        ) and not value_set.excluded(system, code)
        if verdict.member and (self._asked.active_only or value_set.active_only):
            concept = verdict.concept
            if concept is not None and concept.inactive:
                verdict.member = False
                text = f"The concept '{code}' is valid but is not active"
                verdict.issues.append(TerminologyIssue("error", "business-rule", "code-rule", text, _at(place, "code")))
        if not verdict.member and not verdict.undecided:
            text = f"The provided code '{named(coding)}' was not found in the value set '{value_set.name}'"
            alone = not place.startswith("CodeableConcept")
            verdict.issues.append(
                TerminologyIssue(
                    "error" if alone else "information", "code-invalid", "not-in-vs" if alone else "this-code-not-in-vs",
                    text, _at(place, "code"), silent=not alone,
                )
            )  # fmt: skip
            if verdict.concept is None and not self._asked.membership_only:
                self._find_in_system(verdict, place)

    def _in_part(self, part: Part, verdict: Verdict, place: str) -> bool:
        coding = verdict.coding
        if part.system is None:
            if not part.imports:
                return False
            return all(self._in_imported(value_set, verdict, place) for value_set in part.imports)
        if part.system != coding.get("system"):
            return False
        code = coding.get("code", "")
        system = self._choose_version(part, verdict, place)
        if verdict.undecided:
            return False
        verdict.code_system = system or verdict.code_system
        held = part.selects(code, system)
        if not held and system is not None and not system.resource.get("caseSensitive", True):
            folded = system.find_folded(code)
            held = folded is not None and part.selects(folded.code, system)
            code = folded.code if folded is not None else code
        if held:
            verdict.concept = part.concept(code, system)
            held = verdict.concept is not None or system is None
            verdict.concept = verdict.concept or part.concept(code)
        elif system is not None:
            verdict.concept = verdict.concept or system.find(code)
        if system is None and part.listed is None:
            self._report_unknown(verdict, part.system, None, place)
            verdict.undecided = True
            return False
        return held and all(value_set.holds(part.system, code) for value_set in part.imports)

    def _in_imported(self, value_set: ValueSet, verdict: Verdict, place: str) -> bool:
        return any(self._in_part(part, verdict, place) for part in value_set.includes) and not value_set.excluded(
            verdict.coding.get("system", ""), verdict.coding.get("code", "")
        )

    def _choose_version(self, part: Part, verdict: Verdict, place: str) -> CodeSystem | None:
        """Return the code system that an include means for a coding, and report where their versions don't agree."""
        system, wanted, value = part.system or "", part.wanted, verdict.coding.get("version")
        if value is None and not self._scope.rules and wanted is None:
            return part.code_system
        versions = [] if system in GRAMMARS else self._scope.versions(system)
        if not versions:
            return part.code_system
        if wanted is not None and newest(versions, wanted) is None:
            if value is not None and not fits(wanted, value):
                verdict.issues.append(_mismatch(part, None, value, place))
            self._report_version(verdict, system, wanted, place)
            verdict.undecided = True
            return None
        suits = value is not None and (wanted is None or fits(wanted, value))
        if suits and value in versions:
            chosen = self._scope.code_system(system, value)
        else:
            chosen = part.code_system
            if value is not None:
                verdict.issues.append(_mismatch(part, chosen, value, place))
                if value not in versions:
                    self._report_version(verdict, system, value, place)
        self._check_version(chosen, system, verdict, place)
        return chosen

    def _check_version(self, chosen: CodeSystem | None, system: str, verdict: Verdict, place: str) -> None:
        check = self._scope.rules.check.get(system)
        version = chosen.resource.get("version", "") if chosen is not None else ""
        if check is not None and chosen is not None and not fits(check, version):
            text = (
                f"The version '{version}' is not allowed for system '{system}': "
                f"required to be '{check}' by a version-check parameter"
            )
            verdict.issues.append(TerminologyIssue("error", "exception", "version-error", text, _at(place, "version")))

    def _report_version(self, verdict: Verdict, system: str, wanted: str, place: str) -> None:
        verdict.wrong_version = f"{system}|{wanted}"
        text = unknown_code_system(system, wanted, self._scope.versions(system), _CONSEQUENCE)
        verdict.issues.append(TerminologyIssue("error", "not-found", "not-found", text, _at(place, "system")))

    def _report_unknown(self, verdict: Verdict, system: str, version: str | None, place: str) -> None:
        verdict.unknown = system
        text = unknown_code_system(system, version, (), _CONSEQUENCE)
        issue = TerminologyIssue("error", "not-found", "not-found", text, _at(place, "system"))
        if issue not in verdict.issues:
            verdict.issues.append(issue)

    def _find_in_system(self, verdict: Verdict, place: str) -> None:
        """Look a coding up in its code system, whatever the value set says."""
        coding = verdict.coding
        system, code, version = coding.get("system"), coding.get("code", ""), coding.get("version")
        if not system:
            if place and not self._asked.infer_system:
                text = (
                    "Coding has no system. A code with no system has no defined meaning, and it cannot be validated. "
                    "A system should be provided"
                )
                verdict.issues.append(TerminologyIssue("warning", "invalid", "invalid-data", text, place))
            return
        found = verdict.code_system or self._known(system, version, verdict, place)
        if found is None:
            return
        verdict.code_system = found
        concept = found.find(code)
        if concept is None and not found.resource.get("caseSensitive", True):
            concept = found.find_folded(code)
        verdict.concept = concept
        if concept is None:
            self._report_code(verdict, found, place)

    def _known(self, system: str, version: str | None, verdict: Verdict, place: str) -> CodeSystem | None:
        wanted = self._scope.rules.force.get(system) or version or self._scope.rules.wanted(system, None)
        found = self._scope.code_system(system, wanted)
        if found is not None:
            self._check_version(found, system, verdict, place)
            return found
        if wanted is not None and self._scope.versions(system):
            self._report_version(verdict, system, wanted, place)
            return self._scope.code_system(system, None)
        if self._scope.source.find("ValueSet", system) is not None:
            text = f"The Coding references a value set, not a code system ('{system}')"
            verdict.issues.append(TerminologyIssue("error", "invalid", "invalid-data", text, _at(place, "system")))
            return None
        if place and ":" not in system:
            text = "Coding.system must be an absolute reference, not a local reference"
            verdict.issues.append(TerminologyIssue("error", "invalid", "invalid-data", text, _at(place, "system")))
        self._report_unknown(verdict, system, version, place)
        return None

    def _report_code(self, verdict: Verdict, system: CodeSystem, place: str) -> None:
        code, url = verdict.coding.get("code", ""), system.resource.get("url", "")
        version = system.resource.get("version")
        text = f"Unknown code '{code}' in the CodeSystem '{url}'" + (f" version '{version}'" if version else "")
        # Of a fragment it isn't known what else there is.
        partly = system.resource.get("content") in ("fragment", "example")
        verdict.issues.append(
            TerminologyIssue("warning" if partly else "error", "code-invalid", "invalid-code", text, _at(place, "code"))
        )

    def _check_concept(self, verdict: Verdict, concept: Concept, place: str) -> None:
        display, system = verdict.coding.get("display"), verdict.coding.get("system", "")
        if display is not None and verdict.member:
            language = verdict.code_system.resource.get("language") if verdict.code_system is not None else None
            issue = check_display(
                display, concept, _at(place, "display"), (system, language), self._languages,
                lenient=self._asked.lenient_display,
            )  # fmt: skip
            if issue is not None:
                verdict.issues.append(issue)
        if concept.inactive:
            status = status_of(concept)
            words = "inactive" if status in (None, "inactive") else f"{status} and inactive"
            text = f"The concept '{concept.code}' has a status of {words} and its use should be reviewed"
            verdict.issues.append(TerminologyIssue("warning", "business-rule", "code-comment", text, place or "code"))
        if concept.abstract and self._asked.abstract is False:
            text = f"The concept '{concept.code}' is abstract: it can't be selected"
            verdict.issues.append(TerminologyIssue("error", "business-rule", "code-rule", text, _at(place, "code")))

    def display_of(self, verdict: Verdict) -> str | None:
        """Return the display of what was found, in the language asked for if there is one in it."""
        concept = verdict.concept
        if concept is None:
            return None
        language = verdict.code_system.resource.get("language") if verdict.code_system is not None else None
        return display_in(concept, language, self._languages) or concept.display


def _mismatch(part: Part, chosen: CodeSystem | None, value: str, place: str) -> TerminologyIssue:
    """Return the issue that a coding's version isn't the one of the include."""
    system, wanted = part.system, part.wanted
    differs = f"in the ValueSet include is different to the one in the value ('{value}')"
    if wanted is None:
        version = chosen.resource.get("version", "") if chosen is not None else ""
        text = f"The code system '{system}' version '{version}' for the versionless include {differs}"
        return TerminologyIssue("warning", "invalid", "vs-invalid", text, _at(place, "version"), silent=True)
    changed = "" if wanted == part.stated else f"resulting from the version '{part.stated or ''}' "
    text = f"The code system '{system}' version '{wanted}' {changed}{differs}"
    return TerminologyIssue("error", "invalid", "vs-invalid", text, _at(place, "version"))


def _at(place: str, element: str) -> str:
    return f"{place}.{element}" if place else element


def named(coding: Json) -> str:
    """Return a coding as messages name it: ``system|version#code ('display')``."""
    version = f"|{coding['version']}" if coding.get("version") else ""
    display = f" ('{coding['display']}')" if coding.get("display") else ""
    return f"{coding.get('system', '')}{version}#{coding.get('code', '')}{display}"


def status_of(concept: Concept) -> str | None:
    """Return the status property of a concept, None without one."""
    return next((str(p.value) for p in concept.properties if p.code == "status"), None)
