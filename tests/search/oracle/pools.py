"""Small pools of values of each data type, odd ones among them, so that random queries hit random resources.

https://hl7.org/fhir/R4/datatypes.html; what a pool makes is valid by itself (period in order, a code with its system).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

FINDINGS = "http://terms.example/findings"
DRUGS = "http://terms.example/drugs"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CURRENCIES = "urn:iso:std:iso:4217"
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
OTHER_SERVER = "http://other.example/fhir"

# code → (display, parent): the hierarchies of the two CodeSystems of the world.
HIERARCHIES: dict[str, dict[str, tuple[str, str | None]]] = {
    FINDINGS: {
        "F": ("Finding", None),
        "F1": ("Fever", "F"),
        "F11": ("High fever", "F1"),
        "F2": ("Pain", "F"),
        "F21": ("Headache", "F2"),
        "F22": ("Schmerz über der Brust", "F2"),
        "G": ("Glucose", None),
    },
    DRUGS: {
        "D": ("Drug", None),
        "D1": ("Painkiller", "D"),
        "D11": ("Ibuprofen", "D1"),
        "D12": ("Paracétamol", "D1"),
        "F1": ("Fexofenadine", "D"),
    },
}
CODINGS: list[dict[str, Any]] = [
    *(
        {"system": system, "code": code, "display": display}
        for system, codes in HIERARCHIES.items()
        for code, (display, _) in codes.items()
    ),
    {"system": LOINC, "code": "8480-6", "display": "Systolic blood pressure"},
    {"system": LOINC, "code": "8462-4", "display": "Diastolic blood pressure"},
    {"system": LOINC, "code": "2339-0"},
    {"code": "F1"},
    {"code": "local", "display": "Local code"},
    {"system": "http://terms.example/odd", "code": "a,b", "display": "Comma, really"},
    {"system": "http://terms.example/odd", "code": "x|y"},
    {"system": "http://terms.example/odd", "code": "c$d"},
    {"system": "http://terms.example/odd", "code": "back\\slash"},
    {"system": "http://terms.example/odd", "code": "Upper"},
    {"system": "http://terms.example/odd"},
    {"display": "Only displayed"},
]
TEXTS = [
    "Fever since yesterday",
    "fèver, high",
    "Pain",
    "Ibuprofen 400 mg",
    "Glucose [Mass/volume] in Blood",
    "Österreich",
]
FAMILIES = [
    "Müller", "Muller", "MÜLLER", "O'Brien", "Okafor", "van der Berg", "Ng", "Straße", "Strasse", "Ångström",
    "Smith, Jr", "Smith", "José", "Jose", "Ł ódź", "de  la   Cruz", "Oﬃce", "İpek", "Σίσυφος", "\uff21da \uff2c",
    "x" * 150 + " needle " + "é" * 150,
]  # fmt: skip
GIVENS = ["Ada", "ada", "Ádám", "Zoë", "Zoe", "Jean-Luc", "Mary Ann", "Noël", "Ana$", "An|a", "李"]
CITIES = ["Zürich", "Zurich", "Boston", "São Paulo", "New York", "Newark", "The Hague"]
LINES = ["Main Street 5", "Hauptstraße 7", "1 Rue de l'Église", "PO Box 12, Rear"]
IDENTIFIER_SYSTEMS = ["http://ids.example/mrn", "http://ids.example/visit", "urn:oid:1.2.3", None]
IDENTIFIER_VALUES = ["1001", "1002", "10", "K,9", "A|7", "b$1", "Z 8", "1001"]
CONTACTS = ["+1 555 0100", "555-0101", "ada@clinic.example", "ADA@clinic.example", "x,y@clinic.example"]
DATES = [
    "0001-01-01", "1950", "1970-02", "1970-02-14", "1984-02-29", "1984-03", "1999-12-31", "2000-01-01", "2000-01", "2000", "2020-02-29",
]  # fmt: skip
DATE_TIMES = [
    *DATES, "2019", "2019-12", "2019-12-31", "2019-12-31T23:30:00-05:00", "2020-01-01T00:00:00Z", "2020-01-01T05:29:59+01:00",
    "2020-01-15", "2020-01-15T08:00:00Z", "2020-01-15T08:00:00.250Z", "2020-01-15T10:00:00+02:00", "2020-02", "2020-06-30",
    "2021-03-28T02:30:00+01:00", "2025-11-01T12:00:00Z", "2031-05", "2016-12-31T23:59:60Z", "9998-12-31", "2031-05-05T07:00:00-08:00",
]  # fmt: skip
INSTANTS = [text for text in DATE_TIMES if "T" in text]
URIS = [
    "http://acme.example/fhir/", "http://acme.example/fhir/ValueSet", "http://acme.example/fhir/ValueSet/1",
    "http://acme.example/fhir/ValueSet/12", "http://acme.example/fhir/ValueSet/1/sub", "http://acme.example/fhirx",
    "urn:oid:1.2.3.4", "urn:oid:1.2.3", "https://acme.example/a,b", "http://acme.example/a$b",
]  # fmt: skip
VERSIONS = ["1.0", "1.1", "2"]
DECIMALS = [
    "0", "0.05", "0.5", "0.50", "1", "2.5", "5.35", "5.4", "5.40", "5.449", "5.45", "10", "95", "99.5", "100", "100.00",
    "100.4", "100.5", "104.9", "105", "1000", "1500", "-3", "0.0954",
]  # fmt: skip
# UCUM code → (canonical unit, factor); temperatures are left out, since Celsius has an offset.
UNITS: dict[str, tuple[str, str]] = {
    "ug": ("g", "0.000001"),
    "mg": ("g", "0.001"),
    "g": ("g", "1"),
    "kg": ("g", "1000"),
    "mg/dL": ("g/m3", "10"),
    "g/L": ("g/m3", "1000"),
    "mmol/L": ("mol/m3", "1"),
    "mm[Hg]": ("mm[Hg]", "1"),
    "%": ("%", "1"),
}
DURATIONS: dict[str, tuple[str, str]] = {
    "s": ("s", "1"),
    "min": ("s", "60"),
    "h": ("s", "3600"),
    "d": ("s", "86400"),
    "wk": ("s", "604800"),
    "a": ("s", "31557600"),
}
LABELS = {"mg": "milligram", "mm[Hg]": "mmHg", "min": "minutes", "a": "years"}


def coding(random: Random) -> dict[str, Any]:
    """Return a Coding."""
    return dict(random.choice(CODINGS))


def codeable_concept(random: Random) -> dict[str, Any]:
    """Return a CodeableConcept with up to two codings, at times text only."""
    out: dict[str, Any] = {"coding": [coding(random) for _ in range(random.choice((0, 1, 1, 1, 2)))]}
    if not out["coding"]:
        del out["coding"]
    if not out or random.random() < 0.3:
        out["text"] = random.choice(TEXTS)
    return out


def identifier(random: Random) -> dict[str, Any]:
    """Return an Identifier, at times with a type."""
    out: dict[str, Any] = {"value": random.choice(IDENTIFIER_VALUES)}
    system = random.choice(IDENTIFIER_SYSTEMS)
    if system:
        out["system"] = system
    if random.random() < 0.5:
        code = random.choice(("MR", "SS", "DL"))
        out["type"] = {"coding": [{"system": IDENTIFIER_TYPES, "code": code}]}
        if random.random() < 0.5:
            out["type"]["text"] = {"MR": "Medical record", "SS": "Social security", "DL": "Driver's licence"}[code]
    return out


def human_name(random: Random) -> dict[str, Any]:
    """Return a HumanName with some of its parts."""
    out: dict[str, Any] = {"family": random.choice(FAMILIES)}
    if random.random() < 0.8:
        out["given"] = random.sample(GIVENS, random.choice((1, 2)))
    if random.random() < 0.2:
        out["prefix"] = [random.choice(("Dr.", "Prof."))]
    if random.random() < 0.2:
        out["suffix"] = [random.choice(("Jr.", "MD"))]
    if random.random() < 0.2:
        out["text"] = f"{random.choice(GIVENS)} {out['family']}"
    return out


def address(random: Random) -> dict[str, Any]:
    """Return an Address with some of its parts."""
    out: dict[str, Any] = {"city": random.choice(CITIES), "use": random.choice(("work", "temp", "billing"))}
    if random.random() < 0.6:
        out["line"] = random.sample(LINES, random.choice((1, 2)))
    if random.random() < 0.5:
        out["postalCode"] = random.choice(("8001", "02134", "SW1A 1AA"))
    if random.random() < 0.5:
        out["state"] = random.choice(("MA", "ZH", "New York"))
    if random.random() < 0.5:
        out["country"] = random.choice(("CH", "US", "Österreich"))
    if random.random() < 0.2:
        out["district"] = random.choice(("Kreis 4", "Brooklyn"))
    if random.random() < 0.2:
        out["text"] = f"{out['city']}, somewhere"
    return out


def contact_point(random: Random) -> dict[str, Any]:
    """Return a ContactPoint."""
    value = random.choice(CONTACTS)
    return {"system": "email" if "@" in value else "phone", "value": value, "use": "work"}


def quantity(random: Random, units: dict[str, tuple[str, str]] = UNITS) -> dict[str, Any]:
    """Return a Quantity: most in UCUM units, some with a comparator, another system, a unit in words or none at all."""
    out: dict[str, Any] = {"value": Decimal(random.choice(DECIMALS))}
    if random.random() < 0.15:
        out["comparator"] = random.choice(("<", "<=", ">", ">="))
    kind, code = random.random(), random.choice(list(units))
    if kind < 0.75:
        out |= {"system": UCUM, "code": code, "unit": LABELS.get(code, code)}
    elif kind < 0.85:
        out |= {"system": "http://terms.example/units", "code": code}
    elif kind < 0.95:
        out |= {"unit": code}
    return out


def duration(random: Random) -> dict[str, Any]:
    """Return a Duration or an Age, both in UCUM units of time."""
    code = random.choice(list(DURATIONS))
    value = random.choice([d for d in DECIMALS if not d.startswith("-") and d != "0"])
    return {"value": Decimal(value), "system": UCUM, "code": code, "unit": LABELS.get(code, code)}


def money(random: Random) -> dict[str, Any]:
    """Return a Money."""
    return {"value": Decimal(random.choice(DECIMALS)), "currency": random.choice(("EUR", "USD"))}


def value_range(random: Random, units: dict[str, tuple[str, str]] = UNITS) -> dict[str, Any]:
    """Return a Range in one unit, at times open at one end."""
    low, high = sorted(random.sample(DECIMALS, 2), key=float)
    code = random.choice(list(units))
    unit = {"system": UCUM, "code": code, "unit": LABELS.get(code, code)}
    out: dict[str, Any] = {"low": {"value": Decimal(low)} | unit, "high": {"value": Decimal(high)} | unit}
    if random.random() < 0.3:
        del out[random.choice(("low", "high"))]
    return out


def period(random: Random) -> dict[str, Any]:
    """Return a Period, at times open at one end. Both ends have the same precision, so that their order is plain."""
    points = random.choice((DATES, ["2019", "2020", "2021"], ["2019-12-31", "2020-01-15", "2020-02-10", "2031-01-01"]))
    whole = [p for p in points if len(p) == len(points[-1])]
    start, end = sorted(random.choices(whole, k=2))
    if random.random() < 0.3:
        start, end = sorted(random.sample(["2019-12-31T22:00:00Z", "2020-01-15T08:00:00Z", "2020-01-15T09:30:00Z"], 2))
    out = {"start": start, "end": end}
    if random.random() < 0.3:
        del out[random.choice(("start", "end"))]
    return out


def timing(random: Random) -> dict[str, Any]:
    """Return a Timing of events, bounds or both."""
    out: dict[str, Any] = {}
    if random.random() < 0.7:
        out["event"] = random.sample(DATE_TIMES, random.choice((1, 2)))
    if not out or random.random() < 0.4:
        out["repeat"] = {"boundsPeriod": period(random), "frequency": 1, "period": Decimal("1"), "periodUnit": "d"}
    return out


def annotation(random: Random) -> dict[str, Any]:
    """Return an Annotation."""
    return {"text": random.choice(TEXTS)}


def usage_context(random: Random) -> dict[str, Any]:
    """Return a UsageContext."""
    value = random.choice(
        (
            {"valueCodeableConcept": codeable_concept(random)},
            {"valueQuantity": quantity(random)},
            {"valueRange": value_range(random)},
        )
    )
    return {"code": coding_with_code(random), **value}


def coding_with_code(random: Random) -> dict[str, Any]:
    """Return a Coding that has a code."""
    return dict(random.choice([c for c in CODINGS if "code" in c]))


def version_of(random: Random) -> str:
    """Return a canonical, at times with a version."""
    url = random.choice(URIS)
    return f"{url}|{random.choice(VERSIONS)}" if random.random() < 0.4 else url


MAKERS: dict[str, Callable[[Random], Any]] = {
    "Coding": coding_with_code,
    "CodeableConcept": codeable_concept,
    "Identifier": identifier,
    "HumanName": human_name,
    "Address": address,
    "ContactPoint": contact_point,
    "Quantity": quantity,
    "Age": duration,
    "Duration": duration,
    "Money": money,
    "Range": value_range,
    "Period": period,
    "Timing": timing,
    "Annotation": annotation,
    "UsageContext": usage_context,
    "boolean": lambda random: random.random() < 0.5,
    "string": lambda random: random.choice([*TEXTS, *FAMILIES, "LOT-1", "lot-10"]),
    "markdown": lambda random: random.choice(TEXTS),
    "code": lambda random: random.choice([c["code"] for c in CODINGS if "code" in c]),
    "uri": lambda random: random.choice(URIS),
    "url": lambda random: random.choice(URIS),
    "canonical": version_of,
    "date": lambda random: random.choice(DATES),
    "dateTime": lambda random: random.choice(DATE_TIMES),
    "instant": lambda random: random.choice(INSTANTS),
    "decimal": lambda random: Decimal(random.choice(DECIMALS)),
    "integer": lambda random: random.randrange(5),
    "positiveInt": lambda random: random.randrange(1, 5),
    "unsignedInt": lambda random: random.randrange(5),
}
