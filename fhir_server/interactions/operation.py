"""operation: finds it, parses its input, runs its handler, checks its output, https://hl7.org/fhir/R4/operations.html."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from conformance.decode import decode, encode
from conformance.issues import InvalidResource
from fhir_server.errors import FhirError, InvalidRequest, NotFound, NotSupported
from fhir_server.interactions import transaction
from fhir_server.interactions.context import Context
from fhir_server.interactions.persist import persist
from fhir_server.interactions.prepare import require_grant
from fhir_server.interactions.read import read_reference
from fhir_server.interactions.request import Answer, Request
from fhir_server.operations.contract import Invocation, OperationError, Resource
from fhir_server.operations.parameters import check_output, find_issues, from_query, from_resource
from fhir_server.operations.registry import find
from fhir_server.search.execute import search


class OperationContext:
    """The contract's Context on top of the store; each call takes its own connection and gives it back."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def now(self) -> datetime:
        """The instant of the request."""
        return self._context.now

    @property
    def subject(self) -> str:
        """Who calls."""
        return self._context.caller.subject

    async def read(self, reference: str) -> Resource | None:
        """Return the current version of ``Type/id`` that the caller may see, or None; so for any other reference."""
        async with self._context.database.session() as session:
            return await read_reference(self._context, session, reference)

    async def search(
        self, resource_type: str, parameters: Sequence[tuple[str, str]], *, limit: int = 1000
    ) -> list[Resource]:
        """Return all matches up to ``limit``, following the pages."""
        out: list[Resource] = []
        cursor: str | None = ""
        while cursor is not None and len(out) < limit:
            page_parameters = [*parameters, ("_count", str(min(limit - len(out), 1000)))]
            if cursor:
                page_parameters.append(("_cursor", cursor))
            async with self._context.database.searching() as session:
                page = await search(
                    session,
                    self._context.caller,
                    resource_type,
                    page_parameters,
                    cursor_key=self._context.server.cursor_key,
                    strict=True,
                )
            out += [decode(m.content, m.resource_type) for m in page.matches]
            cursor = page.next_cursor
        return out

    async def write(self, bundle: Resource) -> Resource:
        """Run a transaction Bundle, all or nothing; the caller's Bundle stays as it is."""
        body = encode(bundle)

        async def attempt(context: Context) -> Answer:
            parsed = decode(body, "Bundle")
            async with context.database.transaction() as session:
                return await transaction.run(context, session, parsed, representation=True)

        answer = await persist(self._context, attempt)
        return decode(answer.content or b"", "Bundle")


def _input(request: Request, definition: Resource) -> Resource:
    resource = request.resource
    if resource is None and request.body:
        resource = decode(request.body)
    if resource is None:
        return from_query(definition, request.target.query)
    return from_resource(definition, resource)


async def run(context: Context, request: Request) -> Answer:
    """Run an operation; 404 when it is not offered here, 4xx with all issues when its input is not what it declares."""
    target = request.target
    operation = find(context.server.operations, str(target.operation), target.resource_type, target.id)
    if operation is None:
        place = "/".join(p for p in (target.resource_type, target.id and "[id]", f"${target.operation}"[:80]) if p)
        raise NotFound(f"The operation {place} is not supported.", code="not-supported")
    if target.safe and operation.definition.get("affectsState"):
        raise NotSupported(f"${target.operation} changes data, so it is called by POST.")
    require_grant(context.caller, "operation", target.resource_type or "*")
    parameters = _input(request, operation.definition)
    issues = find_issues(parameters, operation.definition, "in")
    if issues:
        raise InvalidRequest.of(issues)
    try:
        output = await operation.handler(
            Invocation(target.resource_type, target.id, parameters, read_only=target.safe), OperationContext(context)
        )
    except OperationError as refused:
        error = FhirError(refused.diagnostics, code=refused.code, expression=refused.expression)
        error.status = refused.status
        raise error from refused
    try:
        check_output(output, operation.definition)
    except InvalidResource as broken:
        # The handler broke its promise: a defect of the server, not of the request.
        raise RuntimeError(f"${target.operation} made invalid output: {broken}") from broken
    return Answer(200, encode(output))
