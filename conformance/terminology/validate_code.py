"""``$validate-code`` on value sets and code systems.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html,
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html. Beside ``result`` and ``message`` the answer carries
each issue with the place it belongs to, as validators expect it.
"""

from __future__ import annotations

from conformance.terminology.code_system import Json
from conformance.terminology.coding_check import CodingCheck, ValidateCodeParameters, Verdict, status_of
from conformance.terminology.errors import TerminologyError, TerminologyIssue, outcome_of
from conformance.terminology.scope import Scope
from conformance.terminology.value_sets import ValueSet


def validate_code(scope: Scope, value_set: ValueSet | None, asked: ValidateCodeParameters) -> Json:
    """Return Parameters with the result of ``$validate-code``; ``value_set`` is None for that of code systems."""
    if value_set is not None:
        try:
            value_set.link()
        except TerminologyError as error:
            if value_set.stored is None:
                return _broken(asked, error)
            value_set = value_set.stored
    check = CodingCheck(scope, value_set, asked)
    if asked.codeable_concept is not None:
        return _of_codeable_concept(check, value_set, asked.codeable_concept)
    coding, place = asked.coding, "Coding"
    if coding is None:
        named_parts = (
            ("system", asked.system), ("version", asked.system_version), ("code", asked.code), ("display", asked.display)
        )  # fmt: skip
        coding, place = {name: value for name, value in named_parts if value is not None}, ""
    inferred = _infer(value_set, coding) if value_set is not None and asked.infer_system else None
    if inferred:
        coding = coding | {"system": inferred}
    verdict = check.check(coding, place)
    if value_set is not None and asked.infer_system and "system" not in coding:
        systems = ", ".join(dict.fromkeys(part.system for part in value_set.parts() if part.system))
        text = f"The code '{coding.get('code')}' is in none of the code systems of the value set '{value_set.name}': {systems}"
        verdict.issues.append(TerminologyIssue("error", "not-found", "cannot-infer", text, "code"))
    return _answer(check, verdict, verdict.issues, not verdict.failed)


def _infer(value_set: ValueSet, coding: Json) -> str | None:
    """Return the only system of a value set that has a code, None if none or several have."""
    code = coding.get("code", "")
    systems = dict.fromkeys(part.system for part in value_set.parts() if part.system)
    found = [system for system in systems if value_set.holds(system, code)]
    return found[0] if len(found) == 1 and "system" not in coding else None


def _broken(asked: ValidateCodeParameters, error: TerminologyError) -> Json:
    """Return the answer for a value set that refers to something that isn't known."""
    made = [{"name": "result", "valueBoolean": False}, {"name": "message", "valueString": error.issue.text}]
    if asked.codeable_concept is not None:
        made.append({"name": "codeableConcept", "valueCodeableConcept": asked.codeable_concept})
    made.append({"name": "issues", "resource": error.outcome})
    return {"resourceType": "Parameters", "parameter": made}


def _of_codeable_concept(check: CodingCheck, value_set: ValueSet | None, concept: Json) -> Json:
    verdicts = [
        check.check(coding, f"CodeableConcept.coding[{number}]")
        for number, coding in enumerate(concept.get("coding", ()))
    ]
    issues = list(dict.fromkeys(issue for verdict in verdicts for issue in verdict.issues))
    good = next((verdict for verdict in verdicts if verdict.member), None)
    if good is None and value_set is not None and not any(verdict.undecided for verdict in verdicts):
        text = f"No valid coding was found for the value set '{value_set.name}'"
        issues.append(TerminologyIssue("error", "code-invalid", "not-in-vs", text))
    chosen = good or Verdict({})
    chosen.unknown = next((v.unknown for v in verdicts if v.unknown), None)
    chosen.wrong_version = next((v.wrong_version for v in verdicts if v.wrong_version), None)
    result = good is not None and not any(issue.severity == "error" for issue in issues)
    answer = _answer(check, chosen, issues, result)
    answer["parameter"].append({"name": "codeableConcept", "valueCodeableConcept": concept})
    return answer


def _answer(check: CodingCheck, verdict: Verdict, issues: list[TerminologyIssue], result: bool) -> Json:
    coding, concept = verdict.coding, verdict.concept
    made: list[Json] = [{"name": "result", "valueBoolean": result}]
    texts = dict.fromkeys(sorted(issue.text for issue in issues if not issue.silent))
    if texts:
        made.append({"name": "message", "valueString": "; ".join(texts)})
    display = check.display_of(verdict)
    if display is not None:
        made.append({"name": "display", "valueString": display})
    if "code" in coding:
        made.append({"name": "code", "valueCode": coding["code"]})
    if "system" in coding:
        made.append({"name": "system", "valueUri": coding["system"]})
    if verdict.code_system is not None and "version" in verdict.code_system.resource:
        made.append({"name": "version", "valueString": verdict.code_system.resource["version"]})
    if concept is not None and concept.inactive:
        made.append({"name": "inactive", "valueBoolean": True})
        status = status_of(concept)
        if status is not None:
            made.append({"name": "status", "valueCode": status})
    if verdict.unknown is not None:
        made.append({"name": "x-unknown-system", "valueCanonical": verdict.unknown})
    if verdict.wrong_version is not None:
        made.append({"name": "x-caused-by-unknown-system", "valueCanonical": verdict.wrong_version})
    if issues:
        made.append({"name": "issues", "resource": outcome_of(issues)})
    return {"resourceType": "Parameters", "parameter": made}
