"""Conditional references, https://hl7.org/fhir/R4/http.html#trules: ``Patient?identifier=1`` for the one match's address.

The specification has them in transactions; here they resolve in every write, since a search that is stored as a
reference leads nowhere.
"""

from __future__ import annotations

import re
from typing import Any

from conformance.decode import decode
from conformance.issues import InvalidResource
from fhir_server.errors import FhirError, PreconditionFailed
from fhir_server.interactions.conditions import find_one, parse_condition
from fhir_server.interactions.context import Context
from fhir_server.interactions.failures import at_element
from fhir_server.interactions.references import is_conditional, place_of, references_of, relative, rewrite
from fhir_server.interactions.request import Request
from fhir_server.store.database import Session

_IN_JSON = re.compile(rb'"reference"\s*:\s*"[^"]*\?')


def may_have_conditions(request: Request) -> bool:
    """Tell whether the resource sent may hold conditional references. Quick, since every write asks."""
    if request.resource is not None:
        return any("?" in reference for reference in references_of(request.resource))
    body = request.body or b""
    # Escaped, a name or a question mark would look different.
    return (b"?" in body and _IN_JSON.search(body) is not None) or b"\\u00" in body


def conditional_references(resource: dict[str, Any], base_url: str) -> list[str]:
    """Return the distinct conditional references of a resource."""
    found = (r for r in references_of(resource) if "?" in r and is_conditional(r, base_url))
    return list(dict.fromkeys(found))


async def find_referenced(context: Context, session: Session, reference: str) -> tuple[str, str | None]:
    """Return the type and the id of the one stored resource that a conditional reference means; the id None for none.

    Raises PreconditionFailed for several, InvalidRequest or InvalidSearch for a search that can't be carried out.
    """
    condition = relative(reference, context.base_url)
    resource_type, what = condition.partition("?")[0], f"The reference {reference[:200]}"
    query = parse_condition(condition, resource_type, what)
    match = await find_one(context, session, resource_type, query, what)
    return resource_type, None if match is None else match.id


async def take_resource(context: Context, session: Session, request: Request) -> dict[str, Any]:
    """Return the resource that a create or update sends, its conditional references resolved.

    Raises InvalidResource for an invalid one, PreconditionFailed for a reference without exactly one match.
    """
    resource = request.resource
    if resource is None:
        resource = decode(request.body or b"", request.target.resource_type)
    if may_have_conditions(request):
        await resolve_resource(context, session, resource)
    return resource


async def resolve_resource(context: Context, session: Session, resource: dict[str, Any]) -> None:
    """Replace the conditional references of a resource, in place; raises as :func:`take_resource` does."""
    addresses: dict[str, str] = {}
    for reference in conditional_references(resource, context.base_url):
        try:
            resource_type, id_ = await find_referenced(context, session, reference)
            if id_ is None:
                raise PreconditionFailed(f"The reference {reference[:200]} matches nothing.", code="not-found")
        except (FhirError, InvalidResource) as error:
            raise at_element(error, place_of(resource, reference)) from error
        addresses[reference] = f"{resource_type}/{id_}"
    if addresses:
        rewrite(resource, addresses.get)
