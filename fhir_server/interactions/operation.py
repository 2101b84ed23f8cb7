"""operation: finds it, parses its input, runs its handler, checks its output, https://hl7.org/fhir/R4/operations.html."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.decode import decode
from fhir_server.errors import FhirError, InvalidRequest, NotFound, NotSupported
from fhir_server.interactions.context import Context
from fhir_server.interactions.deferred import accepted
from fhir_server.interactions.operation_context import BuiltInContext, OperationContext
from fhir_server.interactions.prepare import require_grant
from fhir_server.interactions.request import Answer, Request, Target
from fhir_server.operations.built_in import BuiltIn, Started
from fhir_server.operations.contract import Invocation, OperationError, Resource
from fhir_server.operations.parameters import encode_output, find_issues, from_query, from_resource, split, take_others
from fhir_server.operations.registry import AnyOperation, find

_TOO_MANY, _UNAVAILABLE = 429, 503
_RETRY_SECONDS = 5


def _find(context: Context, target: Target) -> AnyOperation:
    """Return the operation that the target names; raises NotFound when it is not offered there."""
    operation = find(context.server.operations, str(target.operation), target.resource_type, target.id)
    versioned = target.version_id is not None
    if operation is None or (versioned and not (isinstance(operation, BuiltIn) and operation.versions)):
        history = versioned and "_history/[version]"
        parts = (target.resource_type, target.id and "[id]", history, f"${target.operation}"[:80])
        raise NotFound(f"The operation {'/'.join(p for p in parts if p)} is not supported.", code="not-supported")
    if target.safe and operation.definition.get("affectsState"):
        raise NotSupported(f"${target.operation} changes data, so it is called by POST.")
    return operation


def _input(request: Request, operation: AnyOperation) -> tuple[Resource, Sequence[tuple[str, str]]]:
    """Return the in-parameters and, where the operation takes them, the other query parameters."""
    definition = operation.definition
    resource = request.resource
    if resource is None and request.body:
        resource = decode(request.body)
    allowed = operation.query if isinstance(operation, BuiltIn) else frozenset[str]()
    declared, others = split(definition, request.target.query, allowed)
    parameters = from_query(definition, declared)
    if resource is not None:
        given = from_resource(definition, resource)
        together = [*given.get("parameter", ()), *parameters.get("parameter", ())]
        parameters = {**given, "parameter": together} if together else given
    if allowed is None:
        parameters, more = take_others(definition, parameters)
        others += more
    return parameters, others


def _invocation(request: Request, operation: AnyOperation) -> Invocation:
    """Return the call; raises InvalidRequest with all issues when the input isn't what the definition declares."""
    target = request.target
    if isinstance(operation, BuiltIn) and operation.raw:
        return Invocation(
            target.resource_type,
            target.id,
            {"resourceType": "Parameters"},
            read_only=target.safe,
            query=target.query,
            body=request.body,
            media_type=request.media_type,
        )
    parameters, others = _input(request, operation)
    issues = find_issues(parameters, operation.definition, "in")
    if issues:
        raise InvalidRequest.of(issues)
    return Invocation(
        target.resource_type,
        target.id,
        parameters,
        read_only=target.safe,
        version_id=target.version_id,
        query=others,
    )


async def run(context: Context, request: Request) -> Answer:
    """Run an operation; 404 when it is not offered here, 4xx with all issues when its input is not what it declares."""
    target = request.target
    operation = _find(context, target)
    require_grant(context.caller, "operation", target.resource_type or "*")
    invocation = _invocation(request, operation)
    output: Resource | bytes | Started
    try:
        if isinstance(operation, BuiltIn):
            output = await operation.handler(invocation, BuiltInContext(context, strict=request.strict))
        else:
            output = await operation.handler(invocation, OperationContext(context))
    except OperationError as refused:
        error = FhirError(refused.diagnostics, code=refused.code, expression=refused.expression)
        error.status = refused.status
        if refused.status in (_TOO_MANY, _UNAVAILABLE):
            error.retry_after = _RETRY_SECONDS
        raise error from refused
    if isinstance(output, Started):
        return accepted(output.job)
    if isinstance(output, bytes):
        return Answer(200, output, media_type=operation.media_type if isinstance(operation, BuiltIn) else None)
    return Answer(200, encode_output(output, operation.definition))
