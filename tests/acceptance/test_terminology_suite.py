"""The terminology suite over HTTP: the resources of each part are PUT on a server, then every case is asked.

The cases are those of tests/conformance/terminology/test_suite.py, which asks the engine itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.operations.parameters import value_name
from fhir_server.operations.terminology.definitions import definition_of
from tests.conformance.terminology.suite import Case, compare, read_cases
from tests.conformance.terminology.test_suite import KNOWN_FAILURES
from tests.server import RunningServer
from tests.shared import shared

Json = dict[str, Any]
FOLDER = shared("suites", "terminology")
CASES = read_cases(FOLDER)
DEFINITIONS = {
    "expand": "ValueSet-expand",
    "validate-code": "ValueSet-validate-code",
    "cs-validate-code": "CodeSystem-validate-code",
    "lookup": "CodeSystem-lookup",
}
# Elements of R5, and names such as "title:en", which are no elements at all.
NEWER = frozenset(("versionAlgorithmCoding",))
# R4 has no filter child-of, so that value set can't be stored.
NOT_R4 = frozenset(("simple-filter-child-of",))
OVER_HTTP = {
    "simple-cases/simple-expand-child-of": "its value set can't be stored, see NOT_R4",
}
# A name for the request that the suite's own runner adds; no operation has it.
_NOT_SENT = frozenset(("uuid",))


def _resources(setup: tuple[str, ...]) -> Iterator[Json]:
    """Yield a part's resources as R4 has them; several may have one id, so each gets its own."""
    for number, name in enumerate(setup):
        resource: Json = _as_r4(json.loads((FOLDER / Path(name)).read_text(encoding="utf-8-sig")))
        if resource["id"] not in NOT_R4:
            yield resource | {"id": f"tx-{number}-{resource['id']}"[:64].rstrip(".")}


def _as_r4(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_r4(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _as_r4(inner) for name, inner in value.items() if name not in NEWER and ":" not in name}


def _as_declared(operation: str, parameter: Json) -> Json:
    """Return a parameter with its text under the type that R4 declares: cases send a code or a string for any of them."""
    declared = definition_of(DEFINITIONS[operation])["parameter"]
    kind = next((p["type"] for p in declared if (p["use"], p["name"]) == ("in", parameter["name"])), None)
    text = next((value for name, value in parameter.items() if name.startswith("value")), None)
    if kind is None or not isinstance(text, str):
        return parameter
    return {"name": parameter["name"], value_name(kind): text}


def _ask(http: httpx.Client, case: Case) -> tuple[int, Json]:
    parameters = [p for p in case.request["parameter"] if p["name"] not in _NOT_SENT]
    if case.language is not None and not any(p["name"] == "displayLanguage" for p in parameters):
        parameters.append({"name": "displayLanguage", "valueCode": case.language})
    typed = [_as_declared(case.operation, parameter) for parameter in parameters]
    answer = http.post(
        DEFINITIONS[case.operation].replace("-", "/$", 1), json={"resourceType": "Parameters", "parameter": typed}
    )
    return answer.status_code, answer.json()


@pytest.fixture(scope="module")
def differences(dsn: str) -> dict[str, list[str]]:
    """How each answer differs from the one that is due."""
    found: dict[str, list[str]] = {}
    # The suite's resources carry extensions where R4 doesn't allow them.
    lenient = RunningServer.on_database(dsn)
    lenient.environment["PRAXIS_VALIDATION"] = "off"
    with lenient as server, server.client() as http:
        for setup in dict.fromkeys(case.setup for case in CASES):
            there = []
            for resource in _resources(setup):
                path = f"{resource['resourceType']}/{resource['id']}"
                answer = http.put(path, json=resource)
                assert answer.status_code in (200, 201), answer.text
                there.append(path)
            for case in CASES:
                if case.setup == setup:
                    found[case.name] = compare(case, *_ask(http, case))
            for path in there:
                assert http.delete(path).status_code == 204
    return found


def test_every_case_was_asked(differences: dict[str, list[str]]) -> None:
    assert len(differences) == len(CASES) == 313


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, differences: dict[str, list[str]]) -> None:
    if case.name in KNOWN_FAILURES or case.name in OVER_HTTP:
        assert differences[case.name], "it comes out by now: strike it from the known failures"
    else:
        assert differences[case.name] == []
