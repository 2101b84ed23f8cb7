"""A practice held in memory, and made-up appointments whose outcomes depend on their features."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from fhir_server.operations.contract import Context, Invocation, OperationError, Resource

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)


class MemoryContext:
    """A Context over a dict of resources, with the search parameters that the AI operations use."""

    now = NOW
    subject = "Practitioner/tester"

    def __init__(self, resources: Sequence[Resource] = ()) -> None:
        self.resources = {f"{r['resourceType']}/{r['id']}": r for r in resources}
        self.written: list[Resource] = []

    async def read(self, reference: str) -> Resource | None:
        """Return the resource."""
        return self.resources.get(reference)

    async def search(
        self, resource_type: str, parameters: Sequence[tuple[str, str]], *, limit: int = 1000
    ) -> list[Resource]:
        """Return the matches; _sort is not heeded."""
        found = [r for r in self.resources.values() if r["resourceType"] == resource_type]
        for name, value in parameters:
            if name != "_sort":
                found = [r for r in found if _matches(r, name, value)]
        return found[:limit]

    async def write(self, bundle: Resource) -> Resource:
        """Keep the Bundle and answer as if it had been written."""
        self.written.append(bundle)
        location = [
            {"response": {"status": "201", "location": f"{e['request']['url']}/{uuid.uuid4()}/_history/1"}}
            for e in bundle["entry"]
        ]
        return {"resourceType": "Bundle", "type": "transaction-response", "entry": location}


def _matches(resource: Resource, name: str, value: str) -> bool:
    if name == "_id":
        return resource["id"] in value.split(",")
    if name == "identifier":
        carried = {f"{i.get('system', '')}|{i.get('value', '')}" for i in resource.get("identifier", ())}
        return bool(carried & set(value.split(",")))
    if name == "status":
        return resource.get("status") in value.split(",")
    if name == "category":
        concepts = resource.get("category", ())
        return value in {coding.get("code") for concept in concepts for coding in concept.get("coding", ())}
    if name in ("patient", "actor") and resource["resourceType"] == "Communication":
        return resource.get("subject", {}).get("reference") in value.split(",")
    if name in ("patient", "actor"):
        actors = {p["actor"]["reference"] for p in resource["participant"] if "actor" in p}
        return bool(actors & set(value.split(",")))
    if name == "date":
        if "start" not in resource:
            return False
        start = datetime.fromisoformat(resource["start"])
        if not value.startswith(("lt", "ge")):
            return start.date().isoformat() == value
        bound = datetime.fromisoformat(value[2:])
        return start < bound if value.startswith("lt") else start >= bound
    if name == "encounter":
        held = (resource.get("encounter", {}), *resource.get("context", {}).get("encounter", ()))
        return value in {reference.get("reference") for reference in held}
    raise AssertionError(f"the test context has no search parameter {name}")


def context_of(resources: Sequence[Resource] = ()) -> Context:
    """Return a Context over the resources."""
    return MemoryContext(resources)


def invoke(
    resource_type: str, identity: str | None = None, *parameters: Resource, read_only: bool = False
) -> Invocation:
    """Return an invocation with the given parameters."""
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return Invocation(resource_type, identity, body, read_only=read_only)


def refusal(error: OperationError) -> tuple[int, str]:
    """Return what a client sees of a refusal."""
    return error.status, error.code


def make_practice(seed: int = 1, patients: int = 150, visits: int = 2400) -> list[Resource]:
    """Return Patients and a year of Appointments; long waits, some patients and one provider miss more."""
    random = Random(seed)
    people = [
        {
            "resourceType": "Patient",
            "id": f"p{n}",
            "birthDate": f"{random.randint(1930, 2015)}-0{random.randint(1, 9)}-11",
        }
        for n in range(patients)
    ]
    habit = [random.gauss(0, 1.2) for _ in people]
    made: list[Resource] = []
    for n in range(visits):
        who = random.randrange(patients)
        start = NOW - timedelta(days=random.randint(1, 360), hours=random.randint(-4, 4))
        lead = random.choice((0, 1, 3, 7, 14, 30, 60))
        provider = random.randrange(4)
        odds = -2.6 + 0.03 * lead + habit[who] + (0.6 if provider == 3 else 0)
        missed = random.random() < 1 / (1 + 2.718281828**-odds)
        made.append(
            appointment(f"a{n}", f"p{who}", start, lead, "noshow" if missed else "fulfilled", provider=f"dr{provider}")
        )
    return [*people, *made]


def appointment(
    identity: str, patient: str, start: datetime, lead: int, status: str = "booked", *, provider: str = "dr0"
) -> Resource:
    """Return one Appointment, booked ``lead`` days and an hour before its start."""
    return {
        "resourceType": "Appointment",
        "id": identity,
        "status": status,
        "serviceType": [{"coding": [{"code": "check-up" if lead % 2 else "follow-up"}]}],
        "created": (start - timedelta(days=lead, hours=1)).isoformat(),
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=20)).isoformat(),
        "minutesDuration": 20,
        "participant": [
            {"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"},
            {"actor": {"reference": f"Practitioner/{provider}"}, "status": "accepted"},
        ],
    }
