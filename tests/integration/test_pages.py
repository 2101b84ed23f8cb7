"""The pages for people and for monitors beside the FHIR base."""

from __future__ import annotations

import httpx

from conformance.definitions import resource_types
from tests.integration.answers import create
from tests.server import RunningServer


def test_the_status_page_shows_what_is_in_the_server(shared_server: RunningServer, client: httpx.Client) -> None:
    create(client, {"resourceType": "Patient"})
    page = httpx.get(f"http://127.0.0.1:{shared_server.port}/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<code>{shared_server.base_url}</code>" in page.text
    assert "<td>Patient</td>" in page.text


def test_a_host_name_can_not_inject_markup(shared_server: RunningServer) -> None:
    page = httpx.get(f"http://127.0.0.1:{shared_server.port}/", headers={"host": "a<script>alert(1)</script>"})
    assert "<script>" not in page.text


def test_the_docs_list_every_type_and_its_parameters(shared_server: RunningServer) -> None:
    page = httpx.get(f"http://127.0.0.1:{shared_server.port}/docs")
    assert page.status_code == 200
    assert all(f'<tr id="{name}">' in page.text for name in resource_types())
    assert "birthdate (date)" in page.text


def test_health(shared_server: RunningServer) -> None:
    assert httpx.get(f"http://127.0.0.1:{shared_server.port}/health").json()["status"] == "ok"


def test_paths_beside_the_base_are_not_fhir(shared_server: RunningServer) -> None:
    for path in ("/fhirx/Patient", "/Patient", "/fhi", "/FHIR/Patient"):
        assert httpx.get(f"http://127.0.0.1:{shared_server.port}{path}").status_code == 404
    escaped = httpx.get(f"http://127.0.0.1:{shared_server.port}/%66hir/Patient")
    assert escaped.status_code == 404
    assert escaped.json()["resourceType"] == "OperationOutcome"
