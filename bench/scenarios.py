"""What is asked of a server: each scenario yields ready-made requests, the measured loop only sends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from bench.content import FAMILIES, SYSTEM, VITAL_SIGNS, encode, make_patient, make_visit
from bench.http_client import Base, Connection

POOL = 1000
"""How many different requests of a kind are made ready; they are then repeated."""

LOINC = "http://loinc.org"
_MARK = "RUNRUNRU0000000000"
"""Stands where a request gets eight characters of the run and ten digits of a running number."""

_GRAPHQL = """query ($id: String!) { Patient(id: $id) {
  id birthDate gender name { family given }
  ObservationList(_reference: patient, _count: 20) {
    id status effectiveDateTime code { text coding { system code display } } valueQuantity { value unit }
  } } }"""

_FHIR = "http://hl7.org/fhir"
_GENDERS = (f"{_FHIR}/administrative-gender", f"{_FHIR}/v2/0001")
_ICD = f"{_FHIR}/sid/icd-10-cm"
_TYPED = ("diab", "fracture", "fracture of left", "asthma", "hyperten", "type 2 diabetes", "burn hand", "E11", "mig")

_SMALL = 18  # Observations, with Patient and Encounter 20 entries


@dataclass(slots=True)
class Sample:
    """Resources of the server under test that scenarios refer to."""

    patients: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Request:
    """A request's bytes and how many Bundle entries it carries (1 if it isn't a Bundle)."""

    content: bytes
    entries: int = 1


Requests = Callable[[Base, Sample, list[bytes]], Iterator[Request]]


class MissingDataError(Exception):
    """The server doesn't hold what a scenario needs; seed it first."""


async def take_sample(base: Base) -> Sample:
    """Ask the server for patients of the benchmark and for patients with Observations."""
    connection = Connection(base)
    sample = Sample()
    own = f"/Patient?identifier={quote(SYSTEM + '|')}&_count=500"
    sample.patients = await _resources(connection, base, own) or await _resources(
        connection, base, "/Patient?_count=500"
    )
    for patient in sample.patients:
        sample.numbers += [i["value"] for i in patient.get("identifier", []) if i.get("system") == SYSTEM]
    code = quote(f"{LOINC}|{VITAL_SIGNS[0][0]}")
    found = await _resources(connection, base, f"/Observation?code={code}&_count=500")
    subjects = {o.get("subject", {}).get("reference", "") for o in found}
    sample.observed = sorted(s.removeprefix("Patient/") for s in subjects if s.startswith("Patient/"))
    connection.close()
    return sample


async def _resources(connection: Connection, base: Base, path: str) -> list[dict[str, Any]]:
    response = await connection.send(base.request("GET", path))
    if response.status != 200:
        raise MissingDataError(f"GET {path} gave status {response.status}: {response.body[:200]!r}")
    return [e["resource"] for e in json.loads(response.body).get("entry", []) if e["resource"]["resourceType"] in path]


def _need(values: list[Any], what: str) -> list[Any]:
    if not values:
        raise MissingDataError(f"the server has no {what}; run 'python -m bench seed' first")
    return values


def _repeat(pool: list[bytes]) -> Iterator[Request]:
    requests = [Request(content) for content in pool]
    while True:
        yield from requests


def _numbered(base: Base, path: str, pool: list[tuple[bytes, int]]) -> Iterator[Request]:
    """Yield POSTs that differ in a running number of constant width, so that the rest is encoded only once."""
    run = uuid4().hex[:8].encode()
    parts: list[tuple[bytes, bytes | None, int]] = []
    for content, entries in pool:
        head, mark, rest = base.request("POST", path, content).partition(_MARK.encode())
        parts.append((head, rest if mark else None, entries))
    number = 0
    while True:
        for head, tail, entries in parts:
            number += 1
            yield Request(head if tail is None else b"%s%s%010d%s" % (head, run, number, tail), entries)


def _create(base: Base, _sample: Sample, _bundles: list[bytes]) -> Iterator[Request]:
    rng = Random(1)
    return _numbered(base, "/Patient", [(encode(make_patient(rng, _MARK)), 1) for _ in range(POOL)])


def _read(base: Base, sample: Sample, _bundles: list[bytes]) -> Iterator[Request]:
    ids = [p["id"] for p in _need(sample.patients, "patients")]
    return _repeat([base.request("GET", f"/Patient/{i}") for i in Random(2).choices(ids, k=POOL)])


def _update(base: Base, sample: Sample, _bundles: list[bytes]) -> Iterator[Request]:
    rng = Random(3)
    pool = []
    for patient in rng.choices(_need(sample.patients, "patients"), k=POOL):
        changed = {name: value for name, value in patient.items() if name != "meta"}
        changed["birthDate"] = f"{rng.randrange(1930, 2000)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
        pool.append(base.request("PUT", f"/Patient/{patient['id']}", encode(changed)))
    return _repeat(pool)


def _search(make: Callable[[Random, Sample], str]) -> Requests:
    def requests(base: Base, sample: Sample, _bundles: list[bytes]) -> Iterator[Request]:
        rng = Random(4)
        return _repeat([base.request("GET", make(rng, sample)) for _ in range(POOL)])

    return requests


def _observed(rng: Random, sample: Sample) -> str:
    return str(rng.choice(_need(sample.observed, "patients with Observations")))


def _bundle_small(base: Base, _sample: Sample, _bundles: list[bytes]) -> Iterator[Request]:
    rng = Random(5)
    return _numbered(base, "", [(encode(make_visit(rng, _MARK, _SMALL)), _SMALL + 2) for _ in range(50)])


def _bundle(base: Base, _sample: Sample, bundles: list[bytes]) -> Iterator[Request]:
    """Send the given Bundles, or made-up ones, of 100 to 500 entries."""
    sized = [(content, len(json.loads(content)["entry"])) for content in bundles]
    suited = [(content, count) for content, count in sized if 100 <= count <= 500]
    if suited:
        pool = [Request(base.request("POST", "", content), count) for content, count in suited]
        return (request for _ in iter(int, 1) for request in pool)
    rng = Random(6)
    made = [(encode(make_visit(rng, _MARK, n - 2)), n) for n in (rng.randrange(100, 501) for _ in range(20))]
    return _numbered(base, "", made)


def _graphql(base: Base, sample: Sample, _bundles: list[bytes]) -> Iterator[Request]:
    rng = Random(8)
    ids = _need(sample.observed, "patients with Observations")
    asked = [encode({"query": _GRAPHQL, "variables": {"id": rng.choice(ids)}}) for _ in range(POOL)]
    return _repeat([base.request("POST", "/$graphql", body, "application/json") for body in asked])


def _validate_code(rng: Random, _sample: Sample) -> str:
    system, code = rng.choice(_GENDERS), rng.choice(("male", "female", "other", "unknown", "none"))
    return f"/ValueSet/$validate-code?url={_FHIR}/ValueSet/administrative-gender&system={system}&code={code}"


def _expand_filter(base: Base, _sample: Sample, _bundles: list[bytes]) -> Iterator[Request]:
    """Ask for the first twenty codes of ICD-10-CM that a text finds, as who types it would."""
    rng = Random(9)
    codes = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [{"system": _ICD}]}}
    pool = []
    for _ in range(POOL):
        asked = [
            {"name": "valueSet", "resource": codes},
            {"name": "filter", "valueString": rng.choice(_TYPED)},
            {"name": "count", "valueInteger": 20},
        ]
        body = encode({"resourceType": "Parameters", "parameter": asked})
        pool.append(base.request("POST", "/ValueSet/$expand", body))
    return _repeat(pool)


SCENARIOS: dict[str, Requests] = {
    "create": _create,
    "read": _read,
    "update": _update,
    "search_name": _search(lambda rng, _: f"/Patient?name={rng.choice(FAMILIES)}&_count=20"),
    "search_ident": _search(
        lambda rng, s: f"/Patient?identifier={quote(SYSTEM + '|' + rng.choice(_need(s.numbers, 'own patients')))}"
    ),
    "search_obs": _search(
        lambda rng, s: (
            f"/Observation?patient={_observed(rng, s)}&code={quote(LOINC + '|' + rng.choice(VITAL_SIGNS)[0])}&_count=20"
        )
    ),
    "search_obs_sort": _search(
        lambda rng, s: f"/Observation?patient={_observed(rng, s)}&category=vital-signs&_sort=-date&_count=50"
    ),
    "search_incl": _search(
        lambda rng, s: (
            f"/Encounter?patient={_observed(rng, s)}&_include=Encounter:patient"
            "&_revinclude=Condition:encounter&_count=20"
        )
    ),
    "search_chain": _search(lambda rng, _: f"/Observation?patient.name={rng.choice(FAMILIES)}&_count=20"),
    "search_total": _search(
        lambda rng, _: f"/Patient?gender={rng.choice(('female', 'male'))}&_total=accurate&_count=10"
    ),
    "everything": _search(lambda rng, s: f"/Patient/{_observed(rng, s)}/$everything?_count=200"),
    "graphql": _graphql,
    "validate_code": _search(_validate_code),
    "expand_filter": _expand_filter,
    "bundle_small": _bundle_small,
    "bundle": _bundle,
}
"""Name → what makes its requests."""
