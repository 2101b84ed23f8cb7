"""Small makers of R4 elements, https://hl7.org/fhir/R4/datatypes.html, and the demo's identifiers and clock."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any

from fhir_server.operations.contract import Resource

SITE = "https://praxis.example/fhir"
MRN = f"{SITE}/NamingSystem/mrn"
STAFF = f"{SITE}/NamingSystem/staff"
MEMBER = f"{SITE}/NamingSystem/member"
VISIT_TYPE = f"{SITE}/CodeSystem/visit-type"
SERVICE = f"{SITE}/CodeSystem/service"
REMINDER = f"{SITE}/StructureDefinition/appointment-reminder"

HL7 = "http://terminology.hl7.org/CodeSystem"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX = "http://hl7.org/fhir/sid/cvx"
UCUM = "http://unitsofmeasure.org"
HCPCS = "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"

# The clinic keeps one offset all year, as Arizona does, so its hours need no time zone database.
CLINIC_TIME = timezone(timedelta(hours=-7))


def chance(rng: Random, probability: float) -> bool:
    """Return True with a probability of 0 to 1."""
    return rng.random() < probability


def moment(day: date, minute: int) -> datetime:
    """Return the instant ``minute`` minutes after the clinic's midnight of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=CLINIC_TIME) + timedelta(minutes=minute)


def instant(when: datetime) -> str:
    """Return an aware datetime as a FHIR instant."""
    return when.isoformat(timespec="seconds")


def coding(system: str, code: str, display: str | None = None) -> Resource:
    """Return a Coding."""
    return {"system": system, "code": code} if display is None else {"system": system, "code": code, "display": display}


def concept(system: str, code: str, display: str | None = None, text: str | None = None) -> Resource:
    """Return a CodeableConcept of one coding; ``text`` defaults to the display."""
    made: Resource = {"coding": [coding(system, code, display)]}
    if text or display:
        made["text"] = text or display
    return made


def reference(target: Resource | str, display: str | None = None) -> Resource:
    """Return a Reference to a resource or to ``Type/id``."""
    to = target if isinstance(target, str) else f"{target['resourceType']}/{target['id']}"
    return {"reference": to} if display is None else {"reference": to, "display": display}


def decimal(value: float, digits: int) -> Decimal | int:
    """Return a number with exactly ``digits`` digits after the point."""
    return Decimal(f"{value:.{digits}f}") if digits else round(value)


def quantity(value: Decimal | int, unit: str) -> Resource:
    """Return a Quantity in a UCUM unit."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def money(value: Decimal) -> Resource:
    """Return an amount of US dollars."""
    return {"value": value, "currency": "USD"}


def address(line: str, city: str, postal_code: str, use: str) -> dict[str, Any]:
    """Return an Address in the demo's corner of Arizona."""
    return {"use": use, "line": [line], "city": city, "state": "AZ", "postalCode": postal_code, "country": "US"}


def full_name(resource: Resource) -> str:
    """Return the display form of the first name of a Patient or Practitioner."""
    name = resource["name"][0]
    return " ".join([*name.get("prefix", []), *name["given"][:1], name["family"], *name.get("suffix", [])])
