"""Made-up requests never break the server: from its own OpenAPI document, and from the grammar of search.

Each answer is below 500, and each refusal an OperationOutcome.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.core.result import Ok

from tests.server import RunningServer

TYPES = ("Patient", "Observation", "Bundle", "SearchParameter")
PER_OPERATION = 12
QUERIES = 1000
MODIFIERS = (
    *("missing", "exact", "contains", "text", "not", "above", "below", "in", "not-in", "of-type"),
    *("identifier", "code-text", "Patient", "iterate", "nonsense", ""),
)
NAMES = (
    *("_id", "_lastUpdated", "_tag", "_profile", "_security", "_source", "_text", "_content", "_list", "_filter"),
    *("_has:Observation:patient:code", "_has:Group:member:_id", "_type", "_sort", "_count", "_include", "_revinclude"),
    *("_summary", "_elements", "_total", "_contained", "_cursor", "_query", "_since", "_at", "_format"),
    *("name", "family", "birthdate", "identifier", "gender", "general-practitioner", "general-practitioner.name"),
    *("code", "patient", "subject.name", "subject:Patient.organization.name", "date", "value-quantity", "combo-code"),
    *(
        "code-value-quantity",
        "component-code-value-concept",
        "near",
        "url",
        "unknown",
        "performer._has:Group:member:_id",
    ),
)
VALUES = (
    *("", "1", "a", ",", "|", "a|b", "|b", "a|", "$", "a$b", "a|b$gt5|u|v", "ge2020", "eq", "2020-02-30", "sa2020-01"),
    *("lt1e400", "5.40", "5.4|http://unitsofmeasure.org|mg", "5||[iU]", "-1e-300", "Patient/1", "http://x/Patient/1"),
    *("42.1|-71|5|km", "true", "*", "Patient:organization", "Observation:*", "name eq 'x' and (birthdate gt 2020)"),
    *('family co "a" or not (', "\\", "\\,", "\\$|", "-date,code", "count", "current-problems", "ValueSet/x"),
    *("http://hl7.org/fhir/ValueSet/observation-status", "'; DROP TABLE resource; --", "ÅÄÖ\u0301", "\U0001f600"),
)
ANY_HEALTH = list(HealthCheck)


def refused_properly(response: Any) -> bool:
    """Tell whether an answer is good, or a refusal in FHIR's own form."""
    if response.status_code < 400:
        return True
    return response.status_code < 500 and response.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("name", TYPES)
def test_requests_made_up_from_the_openapi_document(shared_server: RunningServer, name: str) -> None:
    root = shared_server.base_url.removesuffix("/fhir")
    schema = schemathesis.openapi.from_url(f"{root}/openapi.json?type={name}")
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()

        @settings(max_examples=PER_OPERATION, deadline=None, suppress_health_check=ANY_HEALTH, derandomize=True)
        @given(case=operation.as_strategy())
        def send(case: Case) -> None:
            nonlocal tried
            response = case.call(base_url=shared_server.base_url)
            tried += 1
            assert refused_properly(response), f"{case.as_curl_command()}\n{response.status_code} {response.text[:500]}"

        send()
    assert tried >= PER_OPERATION * 10


names = st.one_of(
    st.sampled_from(NAMES),
    st.tuples(st.sampled_from(NAMES), st.sampled_from(MODIFIERS)).map(":".join),
    st.lists(st.sampled_from(NAMES), min_size=2, max_size=4).map(".".join),
    st.text(max_size=12),
)
values = st.one_of(
    st.sampled_from(VALUES), st.lists(st.sampled_from(VALUES), max_size=3).map(",".join), st.text(max_size=20)
)
queries = st.lists(st.tuples(names, values), min_size=1, max_size=4)


@settings(max_examples=QUERIES, deadline=None, suppress_health_check=ANY_HEALTH, derandomize=True)
@given(
    place=st.sampled_from(("", "Patient", "Observation", "Location", "List", "Patient/1/Observation", "Patient/1/*")),
    query=queries,
    strict=st.booleans(),
)
def test_queries_made_up_from_the_grammar(
    client: httpx.Client, place: str, query: list[tuple[str, str]], strict: bool
) -> None:
    text = "&".join(f"{quote(n, safe=':.', errors='replace')}={quote(v, safe=',', errors='replace')}" for n, v in query)
    response = client.get(f"/{place}?{text}", headers={"prefer": "handling=strict"} if strict else {})
    assert refused_properly(response), response.text[:500]
