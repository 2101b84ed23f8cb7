"""Clinical notes: free text with complaints, denials, family history, vital signs and an assessment.

https://hl7.org/fhir/R4/documentreference.html. What a note asserts of the patient is what the visit was about; what it
denies, rules out or says of relatives is not.
"""

from __future__ import annotations

from base64 import b64encode
from random import Random
from typing import Any

from fhir_server.demo.appointments import practitioner_reference, visit_id
from fhir_server.demo.calendar import Visit
from fhir_server.demo.clinical import Vitals
from fhir_server.demo.data import read
from fhir_server.demo.elements import LOINC, chance, concept, full_name, instant, reference
from fhir_server.demo.people import ADULT, Person
from fhir_server.operations.contract import Resource


def note(rng: Random, person: Person, visit: Visit, vitals: Vitals) -> Resource:
    """Return the progress note of a visit as a DocumentReference with a plain-text attachment."""
    text = write_note(rng, person, visit, vitals)
    content = text.encode()
    return {
        "resourceType": "DocumentReference",
        "id": visit_id("note", person, visit),
        "status": "current",
        "docStatus": "final",
        "type": concept(LOINC, "11506-3", "Progress note"),
        "category": [
            concept(
                "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                "clinical-note",
                "Clinical Note",
            )
        ],
        "subject": reference(person.resource, full_name(person.resource)),
        "date": instant(visit.end),
        "author": [practitioner_reference(visit)],
        "custodian": reference(f"Organization/{read('practice')['organization']['id']}"),
        "content": [
            {
                "attachment": {
                    "contentType": "text/plain; charset=utf-8",
                    "language": "en",
                    "data": b64encode(content).decode(),
                    "size": len(content),
                    "title": "Progress note",
                    "creation": instant(visit.end),
                }
            }
        ],
        "context": {
            "encounter": [reference(f"Encounter/{visit_id('enc', person, visit)}")],
            "period": {"start": instant(visit.start), "end": instant(visit.end)},
        },
    }


def write_note(rng: Random, person: Person, visit: Visit, vitals: Vitals) -> str:
    """Return the words of a visit's note, English, one section a line."""
    words = read("notes")
    headings = rng.choice(words["headings"])
    main, *others = visit.reasons
    complaint = rng.choice(main.get("complaint", [f"{main['names'][0]} follow-up"]))
    opening = rng.choice(words["opening"]).format(
        age=person.age, sex=_sex_noun(person), sex_title=_sex_noun(person).capitalize(), complaint=complaint
    )
    sections = [
        ("complaint", complaint.capitalize() + "."),
        ("history", f"{opening} {rng.choice(main['history'])}"),
        ("absent", _denials(rng, words, person, visit)),
        ("past", _past(rng, words, person)),
        ("family", _family(rng, words, visit)),
    ]
    if visit.kind != "telehealth":
        sections.append(("vitals", _vitals_line(rng, vitals)))
        sections.append(("exam", rng.choice(main.get("finding", words["finding"]))))
    name = rng.choice(main["names"])
    sections.append(("assessment", _fill(rng.choice(words["assessment"]), name)))
    plans = [f"{rng.choice(main['plan']).capitalize()}."]
    plans += [
        _fill(rng.choice(words["also"]), rng.choice(other["names"]), rng.choice(other["plan"])) for other in others
    ]
    sections.append(("plan", " ".join([*plans, rng.choice(words["closing"])])))
    return "\n".join(f"{headings[part]} {line}".strip() for part, line in sections if line) + "\n"


def _sex_noun(person: Person) -> str:
    if person.age < ADULT:
        return "girl" if person.sex == "female" else "boy"
    return "woman" if person.sex == "female" else "man"


def _first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fill(pattern: str, name: str, plan: str = "") -> str:
    return pattern.format(name=name, name_title=_first_capital(name), plan=plan)


def _other_conditions(visit: Visit, person: Person) -> list[dict[str, Any]]:
    own = {c["code"] for c in (*person.chronic, *visit.reasons)}
    return [c for c in read("conditions")["chronic"] if c["code"] not in own]


def _denials(rng: Random, words: dict[str, Any], person: Person, visit: Visit) -> str:
    absent = visit.reasons[0]["absent"]
    items = rng.sample(absent, rng.randint(1, len(absent)))
    listed = items[0] if len(items) == 1 else f"{', '.join(items[:-1])} or {items[-1]}"
    pronoun = "She" if person.sex == "female" else "He"
    lines = [rng.choice(words["denial"]).format(items=listed, pronoun=pronoun)]
    if chance(rng, 0.3):
        other = rng.choice(_other_conditions(visit, person))
        lines.append(_fill(rng.choice(words["ruled_out"]), rng.choice(other["names"])))
    return " ".join(lines)


def _past(rng: Random, words: dict[str, Any], person: Person) -> str:
    if not person.chronic:
        return str(rng.choice(words["past_none"]))
    names = ", ".join(rng.choice(c["names"]) for c in person.chronic)
    return _first_capital(rng.choice(words["past"]).format(names=names))


def _family(rng: Random, words: dict[str, Any], visit: Visit) -> str:
    if chance(rng, 0.45):
        return ""
    other = rng.choice([c for c in read("conditions")["chronic"] if c not in visit.reasons])
    return _fill(rng.choice(words["family"] if chance(rng, 0.7) else words["family_none"]), rng.choice(other["names"]))


def _vitals_line(rng: Random, vitals: Vitals) -> str:
    pressure = f"{vitals.systolic}/{vitals.diastolic}"
    return str(
        rng.choice(
            (
                f"BP {pressure}, HR {vitals.pulse}, T {vitals.temperature} C, weight {vitals.weight} kg.",
                f"Blood pressure {pressure} mmHg, pulse {vitals.pulse}, temperature {vitals.temperature} °C.",
                f"{pressure}, pulse {vitals.pulse} regular, {vitals.weight} kg, {vitals.height} cm.",
            )
        )
    )
