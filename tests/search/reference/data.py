"""The resources that the examples search in; every id occurs once, so that an answer can be told by its ids."""

from __future__ import annotations

from typing import Any

from fhir_server.search.comparison import PREFIXES

Resource = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
SICK = "http://example.org/sick"
V2_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
# Text that begins like a prefix: what has no order takes it for a part of the value.
LETTERS = sorted(PREFIXES)


def _resource(resource_type: str, id_: str, **elements: Any) -> Resource:
    return {"resourceType": resource_type, "id": id_, **elements}


def _identifier(value: str, system: str | None = None, kind: str | None = None) -> Resource:
    typed = {"type": {"coding": [{"system": V2_TYPES, "code": kind}], "text": "Record number"}} if kind else {}
    return {**typed, **({"system": system} if system else {}), "value": value}


def _narrative(text: str) -> Resource:
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{text}</div>'}


def _patients() -> list[Resource]:
    meta = {
        "profile": ["http://example.org/adult"], "source": "http://example.org/feed",
        "tag": [{"system": "urn:tag", "code": "vip", "display": "Very important"}],
        "security": [{"system": "urn:label", "code": "R"}],
    }  # fmt: skip
    return [
        _resource(
            "Patient", "ada", meta=meta, text=_narrative("Enjoys gliding"), gender="female", birthDate="1984-02-29",
            identifier=[_identifier("1", "urn:mrn", "MR")], name=[{"family": "Okafor", "given": ["Ada"]}], active=True,
            generalPractitioner=[{"reference": "Practitioner/dora"}], managingOrganization={"reference": "Organization/ward"},
        ),
        _resource(
            "Patient", "bob", gender="male", birthDate="1990", identifier=[_identifier("1", "urn:ssn", "SS")],
            name=[{"family": "Ökafor-Smith"}], address=[{"city": "Marina"}],
        ),
        _resource("Patient", "cy", identifier=[_identifier("1")], name=[{"family": "Smith, Roe"}]),
        _resource("Patient", "dan", gender="other"),
        _resource(
            "Patient", "letters", name=[{"family": f"{two}x"} for two in LETTERS],
            identifier=[_identifier(f"{two}1") for two in LETTERS],
        ),
    ]  # fmt: skip


def _accounts() -> list[Resource]:
    subjects: dict[str, list[Resource]] = {
        "a-pat": [{"reference": "Patient/ada"}], "a-dev": [{"reference": "Device/ada"}],
        "a-mrn": [{"identifier": _identifier("1", "urn:mrn"), "display": "Okafor, Ada"}],
        "a-ward": [{"reference": "Organization/ward"}], "a-clinic": [{"reference": "Organization/clinic"}],
        "a-far": [{"reference": "http://other.example/fhir/Patient/ada"}],
        "a-letters": [{"reference": f"Patient/{two}1"} for two in LETTERS], "a-none": [],
    }  # fmt: skip
    return [
        _resource("Account", id_, status="active", **({"subject": subject} if subject else {}))
        for id_, subject in subjects.items()
    ]


def _observations() -> list[Resource]:
    def quantity(value: float, unit: str, **more: str) -> Resource:
        return {"value": value, "unit": unit, "system": UCUM, "code": unit, **more}

    def code(code: str) -> Resource:
        return {"coding": [{"system": LOINC, "code": code}]}

    def panel(id_: str, first: float, second: float) -> Resource:
        values = {"w3": first, "w4": second}
        parts = [{"code": code(c), "valueQuantity": quantity(v, "mm[Hg]")} for c, v in values.items()]
        return _resource("Observation", id_, status="final", code=code("w5"), component=parts)

    ada, bob = ({"subject": {"reference": f"Patient/{id_}"}} for id_ in ("ada", "bob"))
    measured: dict[str, Resource] = {
        "q-five": {"valueQuantity": quantity(5.0, "mg/dL"), **ada}, "q-gram": {"valueQuantity": quantity(0.05, "g/L")},
        "q-nine": {"valueQuantity": quantity(9, "mg/dL"), **bob},
        "q-less": {"valueQuantity": quantity(4, "mg/dL", comparator="<")}, "q-none": {},
    }  # fmt: skip
    return [
        *(_resource("Observation", id_, status="final", code=code("w1"), **v) for id_, v in measured.items()),
        _resource("Observation", "q-other", status="final", code=code("w2"), valueQuantity=quantity(5.0, "mg/dL")),
        panel("q-panel", 120, 80),
        panel("q-swapped", 80, 120),
    ]


def _ordered() -> list[Resource]:
    """What dates and numbers are compared with."""
    subject = {"subject": {"reference": "Patient/cy"}}
    performed: dict[str, Resource] = {
        "d-old": {"performedDateTime": "1950-02-10"}, "d-near": {"performedDateTime": "2015-06-10"},
        "d-in": {"performedDateTime": "2016-03-02T08:00:00Z"},
        "d-span": {"performedPeriod": {"start": "2016-11-01", "end": "2017-01-15"}},
        "d-late": {"performedDateTime": "2045-05"}, "d-none": {},
    }  # fmt: skip
    likely: dict[str, Resource] = {
        "r-low": {"probabilityDecimal": 0.2}, "r-mid": {"probabilityDecimal": 0.5}, "r-high": {"probabilityDecimal": 0.8},
        "r-wide": {"probabilityRange": {"low": {"value": 0.4}, "high": {"value": 0.9}}}, "r-none": {},
    }  # fmt: skip
    outcome = {"outcome": {"text": "fall"}}
    return [
        *(_resource("Procedure", id_, status="completed", **subject, **when) for id_, when in performed.items()),
        *(
            _resource("RiskAssessment", id_, status="final", **subject, prediction=[{**outcome, **how}])
            for id_, how in likely.items()
        ),
    ]


def _coded() -> list[Resource]:
    """Conditions, and the terminology they come from: a flu is an infection."""
    concepts = [
        {"code": "infection", "concept": [{"code": "flu"}, {"code": "cold"}]},
        {"code": "injury"},
    ]
    within = [{"system": SICK, "filter": [{"property": "concept", "op": "is-a", "value": "infection"}]}]
    subject = {"subject": {"reference": "Patient/cy"}}

    def condition(id_: str, code: str, text: str) -> Resource:
        coded = {"coding": [{"system": SICK, "code": code}], "text": text}
        return _resource("Condition", id_, code=coded, **subject)

    return [
        _resource(
            "CodeSystem", "sick", url=SICK, status="active", content="complete", hierarchyMeaning="is-a", concept=concepts
        ),
        _resource("ValueSet", "infections", url="http://example.org/infections", status="active", compose={"include": within}),
        condition("c-infection", "infection", "Infection"), condition("c-flu", "flu", "Influenza A"),
        condition("c-injury", "injury", "Injury"), _resource("Condition", "c-none", **subject),
    ]  # fmt: skip


def _others() -> list[Resource]:
    uris = {
        "u-root": ["http://example.org/acme"], "u-child": ["http://example.org/acme/child"],
        "u-urn": ["urn:oid:1.2.3"], "u-letters": [f"{two}:x" for two in LETTERS], "u-none": [],
    }  # fmt: skip
    places = {"berlin": (52.52, 13.405), "potsdam": (52.3906, 13.0645), "paris": (48.8566, 2.3522)}
    drug = {"code": {"coding": [{"system": "http://example.org/drugs", "code": "aspirin"}]}}
    return [
        *(
            _resource("Communication", id_, status="completed", **({"instantiatesUri": found} if found else {}))
            for id_, found in uris.items()
        ),
        *(
            _resource("Location", id_, position={"latitude": latitude, "longitude": longitude})
            for id_, (latitude, longitude) in places.items()
        ),
        _resource("Location", "nowhere", name="Nowhere"),
        _resource("Organization", "clinic", name="Clinic"),
        _resource("Organization", "ward", name="Ward", partOf={"reference": "Organization/clinic"}),
        _resource("Practitioner", "dora", name=[{"family": "McCall"}]),
        _resource("Medication", "pill", **drug),
        _resource("Medication", "syrup"),
        _resource(
            "MedicationRequest", "rx", status="active", intent="order", subject={"reference": "Patient/ada"},
            contained=[_resource("Medication", "inside", **drug)], medicationReference={"reference": "#inside"},
        ),
        _resource(
            "MedicationRequest", "rx-syrup", status="active", intent="order", subject={"reference": "Patient/cy"},
            medicationReference={"reference": "Medication/syrup"},
        ),
        _resource("Questionnaire", "intake", url="http://example.org/form", version="1", status="active", title="Intake"),
        *(
            _resource("QuestionnaireResponse", id_, status="completed", questionnaire=f"http://example.org/{form}")
            for id_, form in {"f-two": "form|2", "f-any": "form", "f-other": "other"}.items()
        ),
        _resource("List", "shunned", status="retired", mode="working"),
        _resource(
            "List", "watched", status="current", mode="changes",
            entry=[{"item": {"reference": "Patient/ada"}}, {"item": {"reference": "Patient/bob"}, "deleted": True}],
        ),
    ]  # fmt: skip


def resources() -> list[Resource]:
    """Return all of them, List ``watched`` last."""
    return [*_patients(), *_accounts(), *_observations(), *_ordered(), *_coded(), *_others()]
