"""Building, before the first request, what the first request would otherwise wait for."""

from __future__ import annotations

from conformance.decode import decode
from fhir_server.interactions.references import uri_names
from fhir_server.search.index import index


def warm_up() -> None:
    """Build the models and the most used compiled search expressions."""
    uri_names()
    for body in (b'{"resourceType":"Patient"}', b'{"resourceType":"Bundle","type":"transaction"}'):
        resource = decode(body)
        index(resource["resourceType"], resource, 1)
