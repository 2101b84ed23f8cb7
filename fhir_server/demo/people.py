"""The patients of the demo practice and what only the simulation knows about them.

https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

from fhir_server.demo.data import read
from fhir_server.demo.elements import HL7, MRN, address, chance, concept, reference
from fhir_server.operations.contract import Resource

ADULT = 18
SENIOR = 65
"""Ages in years at which payers, practitioners and habits change."""

_BAND_STARTS = (ADULT, 40, SENIOR)
# Nobody is younger than two, so the year of visits never reaches back before a birth.
_AGE_BANDS = ((2, 17, 20), (18, 39, 28), (40, 64, 30), (65, 93, 22))


@dataclass(frozen=True, slots=True)
class Person:
    """A patient with the traits that drive visits. ``reliability`` is a standard normal that no resource states."""

    number: int
    resource: Resource
    age: int
    sex: str
    chronic: tuple[dict[str, Any], ...]
    reliability: float
    visits_a_year: float
    practitioner: dict[str, Any]
    payer: dict[str, Any]
    reminder: str

    @property
    def key(self) -> str:
        """The four digits that every id of this patient's resources carries."""
        return f"{self.number:04d}"


def make_person(number: int, seed: int, today: date) -> Person:
    """Return patient ``number`` of the practice made from ``seed``; depends on nothing else."""
    rng = Random(f"{seed}/person/{number}")  # noqa: S311 - a simulation, not a secret
    low, high, _ = rng.choices(_AGE_BANDS, [band[2] for band in _AGE_BANDS])[0]
    age = rng.randint(low, high)
    born = today - timedelta(days=int(age * 365.25) + rng.randint(1, 364))
    sex = rng.choice(("female", "male"))
    chronic = _chronic_conditions(rng, age)
    doctor = _practitioner_for(rng, age)
    payer = _payer_for(rng, age)
    resource = _patient(rng, number, born, sex, doctor["id"], age=age)
    mobile = any(t.get("use") == "mobile" for t in resource["telecom"])
    reminder = rng.choices(("sms", "email", "phone", "none"), (45 if mobile else 0, 20, 20, 15))[0]
    return Person(
        number=number,
        resource=resource,
        age=age,
        sex=sex,
        chronic=chronic,
        reliability=rng.gauss(0, 1),
        visits_a_year=rng.gammavariate(3.0, (4.2 + 2.1 * len(chronic)) / 3.0),
        practitioner=doctor,
        payer=payer,
        reminder=reminder,
    )


def age_band(age: int) -> int:
    """Return 0 for children, 1 for 18-39, 2 for 40-64, 3 for older."""
    return bisect_right(_BAND_STARTS, age)


def _chronic_conditions(rng: Random, age: int) -> tuple[dict[str, Any], ...]:
    band = age_band(age)
    return tuple(c for c in read("conditions")["chronic"] if chance(rng, c["prevalence"][band]))


def _practitioner_for(rng: Random, age: int) -> dict[str, Any]:
    staff = read("practice")["practitioners"]
    suited = [p for p in staff if p["pediatric"] == (age < ADULT)]
    chosen: dict[str, Any] = rng.choice(suited)
    return chosen


def _payer_for(rng: Random, age: int) -> dict[str, Any]:
    weights = (
        {"commercial": 30, "public": 25, "senior": 0, "self": 9} if age < SENIOR else {"senior": 85, "commercial": 7}
    )
    payers = read("practice")["payers"]
    chosen: dict[str, Any] = rng.choices(payers, [weights.get(p["kind"], 1) for p in payers])[0]
    return chosen


def _patient(rng: Random, number: int, born: date, sex: str, doctor: str, *, age: int) -> Resource:
    practice = read("practice")
    groups = read("names")["groups"]
    group = rng.choices(groups, [g["weight"] for g in groups])[0]
    family = rng.choice(group["family"])
    given = rng.sample(group[sex], 2 if chance(rng, 0.4) else 1)
    code, display, _ = rng.choices(group["languages"], [language[2] for language in group["languages"]])[0]
    town, postal_code, _ = rng.choices(practice["towns"], [t[2] for t in practice["towns"]])[0]
    home = address(f"{rng.randint(1, 2999)} {rng.choice(practice['streets'])}", town, postal_code, "home")
    made: Resource = {
        "resourceType": "Patient",
        "id": f"pat-{number:04d}",
        "identifier": [
            {
                "use": "usual",
                "type": concept(f"{HL7}/v2-0203", "MR", "Medical record number"),
                "system": MRN,
                "value": f"MR{100000 + number}",
                "assigner": reference(f"Organization/{practice['organization']['id']}"),
            }
        ],
        "active": True,
        "name": [{"use": "official", "family": family, "given": given}],
        "telecom": _telecom(rng, number, given[0], family, age),
        "gender": sex,
        "birthDate": born.isoformat(),
        "address": [home],
    }
    if age >= ADULT:
        status, text = rng.choices((("M", "Married"), ("S", "Never Married"), ("D", "Divorced")), (5, 4, 1))[0]
        made["maritalStatus"] = concept(f"{HL7}/v3-MaritalStatus", status, text)
    made["contact"] = [_contact(rng, group, family, age)]
    made["communication"] = [{"language": concept("urn:ietf:bcp:47", code, display), "preferred": True}]
    made["generalPractitioner"] = [reference(f"Practitioner/{doctor}")]
    made["managingOrganization"] = reference(f"Organization/{practice['organization']['id']}")
    return made


def _phone(rng: Random) -> str:
    # 555-0100 to 555-0199 are set aside for fiction in every area code.
    return f"+1 {rng.choice(read('practice')['area_codes'])}-555-01{rng.randrange(100):02d}"


def _telecom(rng: Random, number: int, given: str, family: str, age: int) -> list[Resource]:
    telecom: list[Resource] = [{"system": "phone", "value": _phone(rng), "use": "home"}]
    if chance(rng, 0.6 if age >= SENIOR else 0.9):
        telecom.append({"system": "phone", "value": _phone(rng), "use": "mobile", "rank": 1})
    if chance(rng, 0.7):
        local = "".join(c for c in f"{given}.{family}".lower() if c.isascii() and (c.isalpha() or c == "."))
        telecom.append({"system": "email", "value": f"{local}{number}@mail.example.org", "use": "home"})
    return telecom


def _contact(rng: Random, group: dict[str, Any], family: str, age: int) -> Resource:
    relationship = "parent" if age < ADULT else rng.choice(read("names")["contact_relationships"])
    return {
        "relationship": [{"text": relationship}],
        "name": {"family": family, "given": [rng.choice(group["female"] + group["male"])]},
        "telecom": [{"system": "phone", "value": _phone(rng)}],
    }
