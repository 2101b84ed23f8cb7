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
from fhir_server.search.definitions import Guides
from fhir_server.search.registry import SearchParameters, described_parameters


@lru_cache(maxsize=4)
def _statement(server: Server, parameters: SearchParameters, guides: Guides) -> dict[str, Any]:
    return capability_statement(
        software_version=version("praxis-fhir"),
        search_parameters=described_parameters(parameters),
        operations=[o.definition for o in server.operations.values()],
        auth=server.auth,
        date=format_instant(server.started),
        implementation_guides=guides.implementation_guides,
        profiles=guides.profiles,
    )


@lru_cache(maxsize=8)
def _at(server: Server, parameters: SearchParameters, guides: Guides, base_url: str) -> bytes:
    """Return the statement as seen at a URL. Anybody may ask under any host name, so this part must be quick."""
    statement = _statement(server, parameters, guides)
    return encode({**statement, "implementation": {**statement["implementation"], "url": base_url}})


async def run(context: Context) -> Answer:
    """Return the CapabilityStatement."""
    guides = await context.server.definitions.library(context.caller.tenant).guides(context.database.session)
    return Answer(200, _at(context.server, context.parameters, guides, context.base_url))
