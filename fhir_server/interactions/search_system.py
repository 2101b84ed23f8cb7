"""search-system, https://hl7.org/fhir/R4/http.html#vsearch: a search on several types at once, or on all."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.definitions import resource_types
from fhir_server.errors import InvalidRequest
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Answer, Request
from fhir_server.interactions.searchset import answer_page, surroundings
from fhir_server.search.execute import search_types
from fhir_server.store.database import Session


def types_asked(query: Sequence[tuple[str, str]], possible: Sequence[str]) -> tuple[str, ...]:
    """Return the types that ``_type`` names, all that are possible when it isn't given.

    Raises InvalidRequest for one that isn't among them.
    """
    names = [name for key, value in query if key == "_type" for name in value.split(",") if name]
    for name in names:
        if name not in possible:
            raise InvalidRequest(f"'_type' names '{name[:64]}', which can't be searched here.", code="value")
    return tuple(dict.fromkeys(names)) or tuple(possible)


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return one page of matches of all types together, in one order."""
    query = request.target.query
    page = await search_types(
        session,
        context.caller,
        types_asked(query, resource_types()),
        query,
        **surroundings(context, strict=request.strict),
    )
    return answer_page(context, page, "")
