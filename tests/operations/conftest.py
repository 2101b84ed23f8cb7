"""Operations run in process on a database of the module's own, by callers with any grants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from conformance.decode import decode
from fhir_server.auth.caller import Caller, anonymous
from fhir_server.errors import FhirError
from fhir_server.operations.registry import register
from fhir_server.operations.standard import STANDARD
from tests.interactions.conftest import Desk

Resource = dict[str, Any]
BASE = "http://test/fhir/"


@dataclass
class Clinic(Desk):
    """A desk with the server's own operations."""

    def put(self, *resources: Resource) -> None:
        """Store resources under their ids."""
        entries = [
            {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert self.ask(anonymous(), "POST", "", bundle).status == 200

    def call(self, url: str, *parameters: Resource, caller: Caller | None = None) -> Resource:
        """Call by POST with Parameters, or with the one resource that is given."""
        body = parameters[0] if parameters and "resourceType" in parameters[0] else None
        body = body or {"resourceType": "Parameters", **({"parameter": list(parameters)} if parameters else {})}
        return decode(self.ask(caller or anonymous(), "POST", url, body).content or b"")

    def fetch(self, url: str, caller: Caller | None = None) -> Resource:
        """Call by GET."""
        return self.get(caller or anonymous(), url)

    def refusal(self, method: str, url: str, body: Resource | None = None, caller: Caller | None = None) -> FhirError:
        """Return the error that a call ends with."""
        with pytest.raises(FhirError) as refused:
            self.ask(caller or anonymous(), method, url, body)
        return refused.value

    def pages(self, url: str, caller: Caller | None = None) -> list[Resource]:
        """Return a searchset's pages, following the next links."""
        found, following = [], url
        while following:
            page = self.fetch(following, caller)
            found.append(page)
            following = next((x["url"] for x in page["link"] if x["relation"] == "next"), "").removeprefix(BASE)
        return found


def names(pages: Sequence[Resource] | Resource) -> list[str]:
    """Return ``Type/id`` of every entry, in order."""
    bundles = [pages] if isinstance(pages, dict) else pages
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for b in bundles for e in b.get("entry", [])]


@pytest.fixture
def clinic(dsn: str) -> Clinic:
    """A desk with all operations."""
    return Clinic(dsn, register(STANDARD))


def resource(resource_type: str, id_: str, **elements: Any) -> Resource:
    """Return a resource with an id."""
    return {"resourceType": resource_type, "id": id_, **elements}


def ref(address: str) -> Resource:
    """Return a Reference."""
    return {"reference": address}


def observation(
    id_: str, patient: str, code: str = "8867-4", when: str | None = "2024-01-01", **elements: Any
) -> Resource:
    """Return a final Observation of a patient with a LOINC code."""
    return resource(
        "Observation",
        id_,
        status="final",
        code={"coding": [{"system": "http://loinc.org", "code": code}]},
        subject=ref(f"Patient/{patient}"),
        **({"effectiveDateTime": when} if when else {}),
        **elements,
    )
