"""Resources with ids grouped into transaction Bundles, https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fhir_server.operations.contract import Resource


def bundles(resources: Iterable[Resource], size: int = 200) -> Iterator[Resource]:
    """Yield transaction Bundles of up to ``size`` resources in the given order; every entry is a PUT to its own id.

    A second run of the same bundles therefore updates rather than duplicates.
    Raises ValueError for a resource without id.
    """
    entries: list[Resource] = []
    for resource in resources:
        if "id" not in resource:
            raise ValueError(f"a {resource['resourceType']} without id can't be put into the demo's bundles")
        url = f"{resource['resourceType']}/{resource['id']}"
        entries.append({"resource": resource, "request": {"method": "PUT", "url": url}})
        if len(entries) == size:
            yield _transaction(entries)
            entries = []
    if entries:
        yield _transaction(entries)


def _transaction(entries: list[Resource]) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
