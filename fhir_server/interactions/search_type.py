"""search-type, https://hl7.org/fhir/R4/http.html#search: parameters in, searchset Bundle out."""

from __future__ import annotations

from fhir_server.interactions.context import Context
from fhir_server.interactions.official import add_official, split_place
from fhir_server.interactions.packaged import find_packaged
from fhir_server.interactions.request import Answer, Request
from fhir_server.interactions.searchset import answer_page, surroundings
from fhir_server.search.execute import search
from fhir_server.store.database import Session


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return one page of matches with what they include, and an OperationOutcome for what was not used."""
    resource_type = str(request.target.resource_type)
    query, place = split_place(resource_type, request.target.query)
    page = await search(
        session,
        context.caller,
        resource_type,
        query,
        **surroundings(context, strict=request.strict),
    )
    packaged = await find_packaged(context, session, resource_type, page)
    if not packaged:
        page = await add_official(context, resource_type, page, place)
    return answer_page(context, page, resource_type, packaged)
