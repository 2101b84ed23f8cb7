"""What happens in a visit: conditions, vital signs, laboratory results, prescriptions, immunizations.

https://hl7.org/fhir/R4/clinicalsummary-module.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

from fhir_server.demo.appointments import location_reference, practitioner_reference, visit_id
from fhir_server.demo.calendar import Visit
from fhir_server.demo.data import read
from fhir_server.demo.elements import (
    CVX,
    HL7,
    ICD10CM,
    LOINC,
    RXNORM,
    chance,
    concept,
    decimal,
    full_name,
    instant,
    quantity,
    reference,
)
from fhir_server.demo.people import Person
from fhir_server.operations.contract import Resource

_ABNORMAL: dict[str, dict[str, tuple[float, float]]] = {
    "E11.9": {"a1c": (7.4, 0.9), "glucose": (148, 30)},
    "E78.5": {"cholesterol": (226, 28), "ldl": (146, 24)},
    "E03.9": {"tsh": (4.4, 2.0)},
    "N18.30": {"creatinine": (1.7, 0.25)},
    "D50.9": {"hemoglobin": (10.6, 0.7), "ferritin": (9, 3)},
}


_GROWN = 17
_PRESSURE_FROM = 3  # blood pressure is taken from this age in years


@dataclass(frozen=True, slots=True)
class Vitals:
    """The numbers taken at a visit: mmHg, beats a minute, degrees Celsius, kg, cm."""

    systolic: int
    diastolic: int
    pulse: int
    temperature: float
    weight: float
    height: int


def problem_list(person: Person, today: date) -> list[Resource]:
    """Return the patient's long-standing Conditions."""
    rng = Random(f"onset/{person.key}")  # noqa: S311 - a simulation, not a secret
    return [
        _condition(
            f"cond-{person.key}-{_slug(entry['code'])}",
            person,
            entry,
            "problem-list-item",
            status="active",
            onset=(today - timedelta(days=rng.randint(400, min(4400, person.age * 365)))).isoformat(),
        )
        for entry in person.chronic
    ]


def visit_conditions(person: Person, visit: Visit, problems: list[Resource]) -> tuple[list[Resource], list[Resource]]:
    """Return (the Conditions a visit is about, main one first; those of them that are new)."""
    known = {problem["id"]: problem for problem in problems}
    about: list[Resource] = []
    new: list[Resource] = []
    for entry in visit.reasons:
        condition = known.get(f"cond-{person.key}-{_slug(entry['code'])}")
        if condition is None:
            condition = _condition(
                f"cond-{person.key}-{visit.number:02d}-{_slug(entry['code'])}",
                person,
                entry,
                "encounter-diagnosis",
                status="resolved",
                onset=visit.day.isoformat(),
            )
            condition["abatementDateTime"] = (visit.day + timedelta(days=14)).isoformat()
            condition["encounter"] = reference(f"Encounter/{visit_id('enc', person, visit)}")
            condition["recorder"] = practitioner_reference(visit)
            new.append(condition)
        about.append(condition)
    return about, new


def take_vitals(rng: Random, person: Person) -> Vitals:
    """Measure a patient."""
    hypertensive = any(c["code"] == "I10" for c in person.chronic)
    obese = any(c["code"] == "E66.9" for c in person.chronic)
    body = Random(f"body/{person.key}")  # noqa: S311 - the same build at every visit
    adult = 176 if person.sex == "male" else 163
    height = round(body.gauss(adult, 6)) if person.age >= _GROWN else round(75 + person.age * 5.9 + body.gauss(0, 4))
    bmi = body.gauss(33 if obese else 24.5, 2.2) if person.age >= _GROWN else body.gauss(16 + person.age * 0.3, 1.2)
    return Vitals(
        systolic=round(rng.gauss(141 if hypertensive else 98 + min(person.age, 50) * 0.45, 9)),
        diastolic=round(rng.gauss(86 if hypertensive else 62 + min(person.age, 40) * 0.3, 5)),
        pulse=round(rng.gauss(76 if person.age >= _GROWN else 98, 8)),
        temperature=round(rng.gauss(36.8, 0.25), 1),
        weight=round(bmi * (height / 100) ** 2 + rng.gauss(0, 0.8), 1),
        height=height,
    )


def observations(rng: Random, person: Person, visit: Visit, vitals: Vitals) -> Iterator[Resource]:
    """Yield the vital signs (not for video visits) and laboratory results of a visit."""
    if visit.kind != "telehealth":
        yield from _vital_signs(person, visit, vitals)
    for name in dict.fromkeys(lab for reason in visit.reasons for lab in reason["labs"]):
        if chance(rng, 0.6):
            yield _laboratory(rng, person, visit, name)


def prescriptions(rng: Random, person: Person, visit: Visit) -> Iterator[Resource]:
    """Yield a MedicationRequest for some of what the visit was about."""
    catalogue = read("clinical")["medications"]
    prescribed: set[str] = set()
    for reason in visit.reasons:
        if not reason["medications"] or chance(rng, 0.45):
            continue
        # A patient stays on the medicine chosen first for a long-standing condition.
        code = reason["medications"][person.number % len(reason["medications"])]
        if code in prescribed:
            continue
        prescribed.add(code)
        name, directions = catalogue[code]
        yield {
            "resourceType": "MedicationRequest",
            "id": f"{visit_id('med', person, visit)}-{code}",
            "status": "active" if reason in person.chronic else "completed",
            "intent": "order",
            "medicationCodeableConcept": concept(RXNORM, code, name),
            "subject": reference(person.resource, full_name(person.resource)),
            "encounter": reference(f"Encounter/{visit_id('enc', person, visit)}"),
            "authoredOn": instant(visit.end),
            "requester": practitioner_reference(visit),
            "reasonCode": [concept(ICD10CM, reason["code"], reason["display"])],
            "dosageInstruction": [{"sequence": 1, "text": directions}],
            "dispenseRequest": {"numberOfRepeatsAllowed": 3 if reason in person.chronic else 0},
        }


def due_vaccines(rng: Random, person: Person, visit: Visit, given: set[str]) -> list[dict[str, Any]]:
    """Return the vaccines (of clinical.json) to give now; ``given`` holds the codes given before and grows."""
    if visit.kind not in ("vaccination", "physical"):
        return []
    due = [
        v
        for v in read("clinical")["vaccines"]
        if v["ages"][0] <= person.age <= v["ages"][1]
        and v["code"] not in given
        and (v["months"] is None or visit.day.month in v["months"])
    ]
    chosen = rng.sample(due, min(len(due), 2 if visit.kind == "vaccination" else 1))
    given.update(v["code"] for v in chosen)
    return chosen


def immunization(person: Person, visit: Visit, vaccine: dict[str, Any]) -> Resource:
    """Return the Immunization of one vaccine given at a visit."""
    return {
        "resourceType": "Immunization",
        "id": f"{visit_id('imm', person, visit)}-{vaccine['code']}",
        "status": "completed",
        "vaccineCode": concept(CVX, vaccine["code"], vaccine["display"]),
        "patient": reference(person.resource, full_name(person.resource)),
        "encounter": reference(f"Encounter/{visit_id('enc', person, visit)}"),
        "occurrenceDateTime": instant(visit.start),
        "primarySource": True,
        "location": location_reference(visit),
        "lotNumber": f"D{visit.day:%y%m}{person.number % 97:02d}",
        "site": concept(f"{HL7}/v3-ActSite", "LA", "left arm"),
        "performer": [{"actor": practitioner_reference(visit)}],
    }


def _slug(code: str) -> str:
    return code.lower().replace(".", "-")


def _condition(key: str, person: Person, entry: dict[str, Any], category: str, *, status: str, onset: str) -> Resource:
    words = {"problem-list-item": "Problem List Item", "encounter-diagnosis": "Encounter Diagnosis"}
    return {
        "resourceType": "Condition",
        "id": key,
        "clinicalStatus": concept(f"{HL7}/condition-clinical", status),
        "verificationStatus": concept(f"{HL7}/condition-ver-status", "confirmed"),
        "category": [concept(f"{HL7}/condition-category", category, words[category])],
        "code": concept(ICD10CM, entry["code"], entry["display"], entry["names"][0]),
        "subject": reference(person.resource, full_name(person.resource)),
        "onsetDateTime": onset,
        "recordedDate": onset,
    }


def _observation(person: Person, visit: Visit, name: str, category: tuple[str, str], code: Resource) -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"{visit_id('obs', person, visit)}-{name}",
        "status": "final",
        "category": [concept(f"{HL7}/observation-category", *category)],
        "code": code,
        "subject": reference(person.resource, full_name(person.resource)),
        "encounter": reference(f"Encounter/{visit_id('enc', person, visit)}"),
        "effectiveDateTime": instant(visit.start),
        "issued": instant(visit.end),
        "performer": [practitioner_reference(visit)],
    }


def _vital_signs(person: Person, visit: Visit, vitals: Vitals) -> Iterator[Resource]:
    codes = read("clinical")["vitals"]

    def measure(name: str) -> Resource:
        return _observation(
            person,
            visit,
            name,
            ("vital-signs", "Vital Signs"),
            concept(LOINC, codes[name]["code"], codes[name]["display"]),
        )

    if person.age >= _PRESSURE_FROM:
        pressure = measure("bp")
        pressure["component"] = [
            {
                "code": concept(LOINC, codes[part]["code"], codes[part]["display"]),
                "valueQuantity": quantity(value, codes[part]["unit"]),
            }
            for part, value in (("systolic", vitals.systolic), ("diastolic", vitals.diastolic))
        ]
        yield pressure
    values: list[tuple[str, float, int]] = []
    if visit.kind == "acute":
        values.append(("temperature", vitals.temperature, 1))
    if visit.kind in ("physical", "new-patient", "chronic-care"):
        values.append(("weight", vitals.weight, 1))
    if visit.kind in ("physical", "new-patient"):
        values += [
            ("height", vitals.height, 0),
            ("bmi", vitals.weight / (vitals.height / 100) ** 2, 1),
            ("pulse", vitals.pulse, 0),
        ]
    for name, value, digits in values:
        made = measure(name)
        made["valueQuantity"] = quantity(decimal(value, digits), codes[name]["unit"])
        yield made


def _laboratory(rng: Random, person: Person, visit: Visit, name: str) -> Resource:
    lab = read("clinical")["labs"][name]
    mean, sd = lab["mean"], lab["sd"]
    for reason in (*person.chronic, *visit.reasons):
        mean, sd = _ABNORMAL.get(reason["code"], {}).get(name, (mean, sd))
    value = decimal(max(rng.gauss(mean, sd), mean * 0.3), lab["digits"])
    made = _observation(person, visit, name, ("laboratory", "Laboratory"), concept(LOINC, lab["code"], lab["display"]))
    made["valueQuantity"] = quantity(value, lab["unit"])
    low, high = (None if lab[end] is None else decimal(float(lab[end]), lab["digits"]) for end in ("low", "high"))
    flag = (
        ("L", "Low")
        if low is not None and value < low
        else ("H", "High")
        if high is not None and value > high
        else ("N", "Normal")
    )
    made["interpretation"] = [concept(f"{HL7}/v3-ObservationInterpretation", *flag)]
    limits = {end: quantity(limit, lab["unit"]) for end, limit in (("low", low), ("high", high)) if limit is not None}
    made["referenceRange"] = [limits]
    return made
