"""What tests ask of every answer."""

from __future__ import annotations

from typing import Any

import httpx

from conformance.decode import check, decode

Resource = dict[str, Any]


def resource_of(response: httpx.Response) -> Resource:
    """Return the valid FHIR resource in a body; fails on any other body."""
    assert response.headers["content-type"] == "application/fhir+json; charset=utf-8", response.text
    return decode(response.content)


def outcome_of(response: httpx.Response, status: int | None = None) -> Resource:
    """Return the valid OperationOutcome of a failure, which must be a client's error with at least one error issue."""
    assert 400 <= response.status_code < 500, f"{response.status_code} {response.text[:500]}"
    assert status is None or response.status_code == status, f"{response.status_code} {response.text[:500]}"
    outcome = resource_of(response)
    check(outcome)
    assert outcome["resourceType"] == "OperationOutcome"
    assert all(i["severity"] in ("error", "fatal") and i["diagnostics"] for i in outcome["issue"])
    return outcome


def expressions_of(outcome: Resource) -> list[str]:
    """Return the expressions of all issues, in order."""
    return [e for issue in outcome["issue"] for e in issue.get("expression", ())]


def create(client: httpx.Client, resource: Resource) -> Resource:
    """Create a resource and return it as stored."""
    response = client.post(f"/{resource['resourceType']}", json=resource)
    assert response.status_code == 201, response.text
    return resource_of(response)


def find(client: httpx.Client, resource_type: str, **parameters: str) -> list[Resource]:
    """Return the matches of a search, all pages of it."""
    found: list[Resource] = []
    url: str | None = f"/{resource_type}"
    query: dict[str, str] | None = parameters
    while url is not None:
        response = client.get(url, params=query)
        assert response.status_code == 200, response.text
        bundle = decode(response.content, "Bundle")
        found += [e["resource"] for e in bundle.get("entry", []) if e["search"]["mode"] == "match"]
        url, query = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None), None
    return found


def count(client: httpx.Client, resource_type: str, **parameters: str) -> int:
    """Return how many resources match."""
    response = client.get(f"/{resource_type}", params={**parameters, "_summary": "count"})
    assert response.status_code == 200, response.text
    return int(decode(response.content, "Bundle")["total"])


def entry(
    method: str, url: str, resource: Resource | None = None, full_url: str | None = None, **request: str
) -> Resource:
    """Return a Bundle.entry."""
    out: Resource = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        out["resource"] = resource
    if full_url is not None:
        out["fullUrl"] = full_url
    return out


def bundle_of(type_: str, *entries: Resource) -> Resource:
    """Return a Bundle to post."""
    return {"resourceType": "Bundle", "type": type_, **({"entry": list(entries)} if entries else {})}
