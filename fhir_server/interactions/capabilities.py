"""capabilities, https://hl7.org/fhir/R4/http.html#capabilities.

Built from the registries, so it can't claim what is not there.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version

from conformance.capability import capability_statement
from conformance.decode import encode
from fhir_server.interactions.context import Context, Server, format_instant
from fhir_server.interactions.request import Answer
from fhir_server.search.registry import described_parameters


@lru_cache(maxsize=8)
def _statement(server: Server, base_url: str) -> bytes:
    return encode(
        capability_statement(
            base_url=base_url,
            software_version=version("praxis-fhir"),
            search_parameters=described_parameters(),
            operations=[o.definition for o in server.operations.values()],
            auth=server.auth,
            date=format_instant(server.started),
        )
    )


def run(context: Context) -> Answer:
    """Return the CapabilityStatement."""
    return Answer(200, _statement(context.server, context.base_url))
