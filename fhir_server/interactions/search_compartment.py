"""A search inside a compartment, https://hl7.org/fhir/R4/http.html#vsearch and compartmentdefinition.html.

``Patient/1/Observation?code=…`` finds Observations of that patient's compartment, ``Patient/1/*`` all types that can be
in it. Whoever may search these types may search them by compartment, which is one more criterion.
"""

from __future__ import annotations

from conformance.definitions import resource_types
from fhir_server.errors import InvalidRequest
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Answer, Request
from fhir_server.interactions.search_system import types_asked
from fhir_server.interactions.searchset import answer_page, surroundings
from fhir_server.search.execute import Compartment, search, search_types
from fhir_server.store.database import Session


async def run(context: Context, session: Session, request: Request) -> Answer:
    """Return one page of matches. Raises InvalidRequest for a type that is in no such compartment."""
    target = request.target
    compartment, searched = Compartment(str(target.resource_type), str(target.id)), str(target.searched)
    path = f"{compartment.resource_type}/{compartment.id}/{searched}"
    if searched == "*":
        members = [name for name in resource_types() if compartment.holds(name)]
        page = await search_types(
            session,
            context.caller,
            types_asked(target.query, members),
            target.query,
            **surroundings(context, strict=request.strict),
            compartment=compartment,
        )
        return answer_page(context, page, path)
    if not compartment.holds(searched):
        raise InvalidRequest(
            f"{searched} can't be in the compartment of a {compartment.resource_type}.", code="not-supported"
        )
    page = await search(
        session,
        context.caller,
        searched,
        target.query,
        **surroundings(context, strict=request.strict),
        compartment=compartment,
    )
    return answer_page(context, page, path)
