"""Random, valid resources of many types that refer to each other.

The definitions say what a resource may hold (https://hl7.org/fhir/R4/structuredefinition.html); only elements that a
search parameter reads, and those required, are filled. ``_settle`` then keeps the invariants of the types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from random import Random
from typing import Any

from conformance.definitions import Element, resource_types, types
from conformance.shape import bound_concepts
from tests.search.oracle.definitions import parameters_of
from tests.search.oracle.pools import DRUGS, HIERARCHIES, MAKERS, OTHER_SERVER, identifier

Resource = dict[str, Any]
Trie = dict[str, "Trie"]
# In an order in which most references lead to types made before.
TYPES = (
    "CodeSystem", "ValueSet", "Organization", "Location", "Patient", "Practitioner", "PractitionerRole", "Medication",
    "Condition", "Appointment", "Encounter", "Specimen", "Observation", "Procedure", "MedicationRequest",
    "DiagnosticReport", "AllergyIntolerance", "Immunization", "Coverage", "RiskAssessment", "ChargeItem", "List",
)  # fmt: skip
TAGS = ["red", "green", "Blue"]
PROFILES = ["http://profiles.example/StructureDefinition/a", "http://profiles.example/StructureDefinition/a|1.0"]
_EXTENSION = re.compile(r"\.extension\('([^']*)'\)$")
_NOISE = re.compile(r"\(|\)| as \w+|\.(?:as|ofType|where|extension|exists)(?:\((?:[^()']|'[^']*'|\([^()]*\))*\))")


def make_resources(random: Random, each: int, base_url: str) -> list[Resource]:
    """Return resources in the order in which they are to be written, the same ids for every type.

    ``base_url`` is the address of the server that will have them; some references spell it out.
    """
    made = [terminology() if t == "CodeSystem" else [] for t in TYPES]
    for number, resource_type in enumerate(TYPES):
        for index in range(each * 3 if resource_type == "Observation" else each):
            made[number].append(_make(random, resource_type, index, each, base_url))
    # Interleaved, so that the order of a system search is no order by type.
    written = [resource for same in made for resource in same]
    random.shuffle(written)
    return written


def terminology() -> list[Resource]:
    """Return the code systems that hierarchies of codes come from, with ids of their own."""
    return [_code_system(f"cs{number}", url) for number, url in enumerate(HIERARCHIES)]


def _code_system(id_: str, url: str) -> Resource:
    codes = HIERARCHIES[url]

    def below(parent: str | None) -> list[Resource]:
        concepts = []
        for code, (display, above) in codes.items():
            if above == parent:
                narrower = below(code)
                concepts.append({"code": code, "display": display} | ({"concept": narrower} if narrower else {}))
        return concepts

    return {
        "resourceType": "CodeSystem", "id": id_, "url": url, "status": "active", "content": "complete",
        "hierarchyMeaning": "is-a", "name": "Hierarchy", "concept": below(None),
    }  # fmt: skip


VALUE_SETS: dict[str, dict[str, Any]] = {
    "http://terms.example/ValueSet/all-drugs": {"include": [{"system": DRUGS}]},
    "http://terms.example/ValueSet/pain": {
        "include": [
            {"system": "http://terms.example/findings", "concept": [{"code": "F21"}, {"code": "F22"}, {"code": "F2"}]},
            {"system": DRUGS, "concept": [{"code": "D11"}]},
        ]
    },
    "http://terms.example/ValueSet/below-fever": {
        "include": [
            {
                "system": "http://terms.example/findings",
                "filter": [{"property": "concept", "op": "is-a", "value": "F1"}],
            }
        ]
    },
    "http://terms.example/ValueSet/drugs-but-one": {
        "include": [{"system": DRUGS}],
        "exclude": [{"system": DRUGS, "concept": [{"code": "D11"}]}],
    },
}


def _make(random: Random, resource_type: str, index: int, each: int, base_url: str) -> Resource:
    maker = _Maker(random, resource_type, index, each, base_url)
    out: Resource = {"resourceType": resource_type, "id": f"a{index}", "meta": _meta(random)}
    if not out["meta"]:
        del out["meta"]
    out |= maker.fill(resource_type, _wanted(resource_type))
    if maker.contained:
        out["contained"] = maker.contained
    if extensions := maker.extensions():
        out["extension"] = extensions
    if resource_type == "Patient" and "birthDate" not in out and random.random() < 0.5:
        absent = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
        out["_birthDate"] = {"extension": [{"url": absent, "valueCode": "unknown"}]}
    _settle(random, out, index)
    return out


def _meta(random: Random) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if random.random() < 0.3:
        out["tag"] = [{"system": "http://tags.example", "code": code} for code in random.sample(TAGS, 2)]
    if random.random() < 0.2:
        out["security"] = [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]
    if random.random() < 0.3:
        out["profile"] = [random.choice(PROFILES)]
    if random.random() < 0.3:
        out["source"] = random.choice(("http://acme.example/fhir/", "urn:oid:1.2.3", "http://acme.example/fhir/x#1"))
    return out


@cache
def _wanted(resource_type: str) -> Mapping[str, Any]:
    """Return the elements that search parameters of a type read, as a tree of names."""
    tree: Trie = {}
    for parameter in parameters_of(resource_type).values():
        for branch in (parameter.expression or "").split("|"):
            names = _NOISE.sub("", branch.strip()).split(".")
            if names[0] != resource_type or parameter.code.startswith("_"):
                continue
            place = tree
            for name in names[1:]:
                place = place.setdefault(name.strip(), {})
            for _, expression in parameter.component:
                for part in expression.split("|"):
                    place.setdefault(_NOISE.sub("", part.strip()).split(".")[0], {})
    return tree


class _Maker:
    """Fills the elements of one resource."""

    def __init__(self, random: Random, resource_type: str, index: int, each: int, base_url: str) -> None:
        self.random = random
        self.resource_type = resource_type
        self.index = index
        self.each = each
        self.base_url = base_url
        self.contained: list[Resource] = []

    def fill(self, type_name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return some of the wanted elements of a type, and all required ones."""
        out: dict[str, Any] = {}
        for element in types()[type_name].elements.values():
            if element.min == 0 and (element.name not in wanted or self.random.random() > 0.6):
                continue
            if element.name in ("id", "meta", "extension", "text"):
                continue
            name, type_ = self.random.choice(self._choices(element))
            inner = wanted.get(element.name, {})
            count = self.random.choice((1, 1, 2, 3)) if element.is_list else 1
            values = [v for v in (self.value(element, type_, inner) for _ in range(count)) if v is not None]
            if values:
                out[name] = values if element.is_list else values[0]
        return out

    def extensions(self) -> list[dict[str, Any]]:
        """Return the extensions that search parameters of the type read, some of them."""
        out: dict[str, dict[str, Any]] = {}
        for parameter in parameters_of(self.resource_type).values():
            found = _EXTENSION.search(parameter.expression or "")
            if found and self.random.random() < 0.2:
                value = self._extension_value(parameter.type)
                out[found[1]] = {"url": found[1], **value}
        return list(out.values())

    def _extension_value(self, parameter_type: str) -> dict[str, Any]:
        match parameter_type:
            case "token":
                return {"valueCodeableConcept": MAKERS["CodeableConcept"](self.random)}
            case "reference":
                return {"valueReference": self.reference(("Condition",))}
            case _:
                return {"valueString": MAKERS["string"](self.random)}

    def _choices(self, element: Element) -> list[tuple[str, str]]:
        known = [
            (n, t) for n, t in element.json_names if t in MAKERS or t == "Reference" or types()[t].kind == "backbone"
        ]
        return known or list(element.json_names)

    def value(self, element: Element, type_: str, inner: Mapping[str, Any]) -> Any:
        """Return a value of a type for an element."""
        concepts = sorted(bound_concepts(element.required) or ())
        if type_ == "code" and concepts:
            return self.random.choice(concepts[:6])[1]
        if type_ == "CodeableConcept" and concepts:
            system, code = self.random.choice(concepts[:6])
            return {"coding": [{"system": system, "code": code}]}
        if type_ == "Reference":
            return self.reference(element.targets)
        if type_ in MAKERS and not (inner and type_ == "Timing"):
            return MAKERS[type_](self.random)
        return self.fill(type_, inner) or None

    def reference(self, targets: Iterable[str]) -> dict[str, Any]:
        """Return a Reference: most lead to a resource made here, some elsewhere, some name an identifier only."""
        random = self.random
        possible = [t for t in targets if t in TYPES] or ([] if set(targets) - {"Resource"} else list(TYPES))
        target = random.choice(possible) if possible else random.choice([t for t in targets if t in resource_types()])
        if target in TYPES and target != self.resource_type and not self.contained and random.random() < 0.02:
            return self._contain(target)
        # A resource refers to earlier ones of its own type, lest a hierarchy ends where it began.
        number = random.randrange(min(self.index or 1, 9) if target == self.resource_type else self.each // 2)
        text = f"{target}/a{number}"
        kind = random.random()
        if kind < 0.06:
            return {"identifier": identifier(random), "type": target}
        if kind < 0.12:
            return {"reference": f"{OTHER_SERVER}/{text}"}
        if kind < 0.17:
            return {"reference": f"{text}/_history/1"}
        if kind < 0.2:
            return {"reference": f"{self.base_url}/{text}"}
        out: dict[str, Any] = {"reference": text}
        if kind < 0.3:
            out["identifier"] = identifier(random)
        if kind > 0.8:
            out["display"] = random.choice(("Dr. Müller", "Ada Okafor", "ward 3"))
        return out

    def _contain(self, target: str) -> dict[str, Any]:
        """Return a reference to a new resource inside of this one."""
        inner = _Maker(self.random, target, self.index, self.each, self.base_url)
        inner.contained = self.contained  # which is to hold no more than one, and nothing inside of that
        self.contained.append({})
        resource = {"resourceType": target, "id": "c1"} | inner.fill(target, _wanted(target))
        _settle(self.random, resource, self.index)
        self.contained[0] |= resource
        return {"reference": "#c1"}


def _settle(random: Random, resource: Resource, index: int) -> None:
    """Change what would break an invariant of the resource's type."""
    match resource["resourceType"]:
        case "Patient":
            resource.setdefault("name", [MAKERS["HumanName"](random)])
        case "Organization":
            resource.setdefault("name", "Clinic")
        case "Location":
            if random.random() < 0.8:
                resource["position"] = {
                    "longitude": MAKERS["decimal"](random) / 100,
                    "latitude": MAKERS["decimal"](random) / 100,
                }
            else:
                resource.pop("position", None)
        case "Observation":
            _settle_observation(random, resource)
        case "Condition":
            _settle_condition(resource)
        case "AllergyIntolerance":
            _settle_allergy(resource)
        case "Appointment":
            if "start" in resource:
                resource["start"] = "2020-01-15T08:00:00Z" if index % 2 else "2020-02-01T08:00:00+02:00"
                resource["end"] = "2020-02-15T08:00:00Z"
            else:
                resource["status"] = "proposed"
            for participant in resource["participant"]:
                if "actor" not in participant:
                    participant.setdefault("type", [{"text": "Attendant"}])
        case "ValueSet":
            _settle_value_set(resource, index)
        case "CodeSystem":
            resource["content"] = "fragment"
            resource["url"] = f"{resource.get('url', 'http://acme.example/fhir/CodeSystem/')}{index}"
            resource["concept"] = [
                {"code": f"c{n}", "designation": [{"language": ("de", "fr")[n % 2], "value": "x"}]}
                for n in range(index % 3 + 1)
            ]
        case "List":
            if "entry" in resource:
                resource.pop("emptyReason", None)
        case "RiskAssessment":
            for prediction in resource.get("prediction", ()):
                for name in ("probabilityDecimal", "probabilityRange"):
                    prediction.pop(name, None)
                _settle_prediction(random, prediction)
        case _:
            pass


def _settle_prediction(random: Random, prediction: Resource) -> None:
    if random.random() < 0.7:
        value = abs(MAKERS["decimal"](random))
        prediction["probabilityDecimal"] = min(value, type(value)(100))
    else:
        low, high = sorted(abs(MAKERS["decimal"](random)) / 20 for _ in range(2))
        prediction["probabilityRange"] = {
            limit: {"value": value, "system": "http://unitsofmeasure.org", "code": "%"}
            for limit, value in (("low", low), ("high", high))
        }


def _settle_observation(random: Random, resource: Resource) -> None:
    valued = [name for name in resource if name.startswith("value")]
    if valued:
        resource.pop("dataAbsentReason", None)
    codes = {(c.get("system"), c.get("code")) for c in resource["code"].get("coding", ())}
    for component in resource.get("component", ()):
        if any(name.startswith("value") for name in component):
            component.pop("dataAbsentReason", None)
        same = any((c.get("system"), c.get("code")) in codes for c in component["code"].get("coding", ()))
        if same or not codes:
            component["code"] = {"coding": [{"system": "http://loinc.org", "code": f"part-{random.randrange(3)}"}]}


def _settle_condition(resource: Resource) -> None:
    verified = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    if any(name.startswith("abatement") for name in resource):
        resource["clinicalStatus"] = {"coding": [{"system": clinical, "code": "resolved"}]}
        resource["verificationStatus"] = {"coding": [{"system": verified, "code": "confirmed"}]}
    elif "entered-in-error" in str(resource.get("verificationStatus")):
        resource.pop("clinicalStatus", None)
    else:
        resource.setdefault("clinicalStatus", {"coding": [{"system": clinical, "code": "active"}]})
    for stage in resource.get("stage", ()):
        stage.setdefault("summary", {"text": "Stage II"})


def _settle_allergy(resource: Resource) -> None:
    if "entered-in-error" in str(resource.get("verificationStatus")):
        resource.pop("clinicalStatus", None)
    else:
        system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
        resource.setdefault("clinicalStatus", {"coding": [{"system": system, "code": "active"}]})


def _settle_value_set(resource: Resource, index: int) -> None:
    resource.pop("expansion", None)
    resource["url"] = f"{resource.get('url', 'http://acme.example/fhir/ValueSet/')}{index}"
    if index < len(VALUE_SETS):
        url, compose = list(VALUE_SETS.items())[index]
        resource |= {"url": url, "compose": compose, "status": "active"}
    elif "compose" in resource:
        resource["compose"] = {"include": [{"system": DRUGS, "concept": [{"code": f"v{index % 5}"}]}]}
    if index % 7 == 0:
        resource["expansion"] = {
            "identifier": "urn:oid:1.2.3.4",
            "timestamp": "2020-01-15T08:00:00Z",
            "contains": [{"system": DRUGS, "code": "D11"}],
        }
