"""capabilities, https://hl7.org/fhir/R4/http.html#capabilities.

Built from the registries, so it can't claim what is not there.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from typing import Any

from conformance.capability import capability_statement
from conformance.decode import encode
from fhir_server.interactions.context import Context, Server, format_instant
from fhir_server.interactions.request import Answer
from fhir_server.search.registry import SearchParameters, described_parameters


@lru_cache(maxsize=4)
def _statement(server: Server, parameters: SearchParameters) -> dict[str, Any]:
    return capability_statement(
        software_version=version("praxis-fhir"),
        search_parameters=described_parameters(parameters),
        operations=[o.definition for o in server.operations.values()],
        auth=server.auth,
        date=format_instant(server.started),
    )


@lru_cache(maxsize=8)
def _at(server: Server, parameters: SearchParameters, base_url: str) -> bytes:
    """Return the statement as seen at a URL. Anybody may ask under any host name, so this part must be quick."""
    statement = _statement(server, parameters)
    return encode({**statement, "implementation": {**statement["implementation"], "url": base_url}})


def run(context: Context) -> Answer:
    """Return the CapabilityStatement."""
    return Answer(200, _at(context.server, context.parameters, context.base_url))
