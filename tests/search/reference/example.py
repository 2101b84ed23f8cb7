"""One example: a request, what it must find, and what the server makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from conformance.fhirpath import evaluate
from tests.search.reference.data import resources

TYPES = {resource["id"]: resource["resourceType"] for resource in resources()}


@dataclass(frozen=True, slots=True)
class Example:
    """What a row of a table has in a column: a search, written without escapes, and the ids it must find.

    ``found`` has the ids in any order unless the search sorts; a ``+`` marks what is included. None says that R4 has no
    such thing, so that the server must refuse it. ``shows`` is FHIRPath that must hold for the Bundle. ``beyond`` says
    that R4 doesn't have it, but the server does; ``gap`` what the server does instead of what R4 says. In the query
    ``{base}`` stands for the server's address, ``{early}`` and ``{late}`` for the instants at which the two Lists were
    stored.
    """

    row: str
    column: str
    query: str
    found: str | None = None
    shows: str = "true"
    beyond: bool = False
    gap: str = ""
    post: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server made of an example: the reason of a refusal, or what is wrong with the answer (empty: nothing)."""

    example: Example
    refusal: str | None = None
    fault: str = ""

    @property
    def sign(self) -> str:
        """The outcome as the tables show it."""
        if self.example.gap:
            return "✗"
        if self.refusal is None:
            return "✓+" if self.example.beyond else "✓"
        return "-" if self.example.found is None else "✗"


def encode(query: str) -> str:
    """Return a search with the values of its parameters escaped as URLs have to."""
    path, _, pairs = query.partition("?")
    escaped = (
        f"{quote(name, safe=':')}={quote(value, safe='')}"
        for name, _, value in (pair.partition("=") for pair in pairs.split("&"))
    )
    return f"{path}?{'&'.join(escaped)}"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that holds the resources of ``data``; ``instants`` are those that queries name."""

    client: httpx.Client
    instants: dict[str, str]

    @classmethod
    def fill(cls, client: httpx.Client) -> Server:
        """Store the resources, one of them later than all others."""
        *first, last = ({"resource": r, "request": _put(r)} for r in resources())
        for entries in (first, [last]):
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            client.post("", json=bundle, headers={"Content-Type": "application/fhir+json"}).raise_for_status()
        ids = {"early": "shunned", "late": last["resource"]["id"]}
        updated = {name: client.get(f"List/{id_}").json()["meta"]["lastUpdated"] for name, id_ in ids.items()}
        return cls(client, updated)

    def run(self, example: Example) -> Outcome:
        """Send an example with strict handling."""
        query = example.query
        for name, instant in {**self.instants, "base": str(self.client.base_url).rstrip("/")}.items():
            query = query.replace(f"{{{name}}}", instant)
        target, headers = encode(query), {"Prefer": "handling=strict"}
        if example.post:
            path, _, form = target.partition("?")
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = self.client.post(f"{path}/_search".lstrip("/"), content=form, headers=headers)
        else:
            answer = self.client.get(target, headers=headers)
        if answer.status_code == 200:
            fault = _fault(example, answer.json())
            if example.gap:
                return Outcome(example, example.gap, "" if fault else "it works now: the example has no gap")
            return Outcome(example, fault=fault)
        issues = answer.json().get("issue", [])
        reason = " ".join(issue.get("diagnostics", "") for issue in issues)
        refused = 400 <= answer.status_code < 500 and reason and issues[0].get("severity") == "error"
        return Outcome(example, refusal=reason, fault="" if refused else f"status {answer.status_code}: {answer.text}")


def _put(resource: dict[str, Any]) -> dict[str, str]:
    return {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}


def _fault(example: Example, bundle: dict[str, Any]) -> str:
    if example.found is None:
        return "the server answers what the table says R4 doesn't have"
    entries = bundle.get("entry", [])
    found = [("+" if e["search"]["mode"] == "include" else "") + e["resource"]["id"] for e in entries]
    wanted = example.found.split()
    ordered = "_sort=" in example.query
    if (found if ordered else sorted(found)) != (wanted if ordered else sorted(wanted)):
        return f"found {' '.join(found)}, not {example.found}"
    if not evaluate(example.shows, bundle)[0]:
        return f"{example.shows} doesn't hold of {bundle}"
    return ""


def distinguishes(example: Example) -> bool:
    """Tell whether an example has a resource that must be found and one that must not, of the types it searches."""
    wanted = {id_ for id_ in (example.found or "").split() if not id_.startswith("+")}
    name = example.query.partition("?")[0].rpartition("/")[2]
    candidates = {id_ for id_, type_name in TYPES.items() if type_name == name or name in ("", "*")}
    return bool(wanted) and bool(candidates - wanted)
