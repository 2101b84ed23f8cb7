"""One call of a terminology operation: its parameters, the resource it was called on, the engine, and its errors.

https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from conformance.issues import Issue
from conformance.terminology.engine import Terminology
from conformance.terminology.errors import ISSUE_TYPES, TerminologyError, invalid, unsupported
from conformance.terminology.source import Resources, Sources
from fhir_server.errors import FhirError, InvalidRequest, NotFound
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.parameters import encode_output, value
from fhir_server.operations.terminology.binding import bound_value_set
from fhir_server.operations.terminology.definitions import definition_of
from fhir_server.search.terminology import Known

T = TypeVar("T")
Json = dict[str, Any]
# Parameters of R4 that ask for nothing when they have this value.
_NO_REQUEST = {"compositional": False}
_DIRECTIONS = ("incoming", "outgoing")


@dataclass(frozen=True, slots=True)
class Asking:
    """How an operation is put to the engine: the parameters it reads, the method that answers.

    ``about`` tells of which resources a question is, None where the engine may take its time. ``held`` is the parameter that
    carries the resource of a call on an instance; without one that resource is the code system of the question.
    ``prepare`` completes parameters by what is known.
    """

    id: str
    read: Callable[[Json], tuple[Any, list[str]]]
    answer: Callable[[Terminology, Any], Json]
    held: str | None = None
    about: Callable[[Any], object] = lambda _: None
    prepare: Callable[[Any, Known], Any] = lambda asked, _: asked


def refusal(error: TerminologyError) -> FhirError:
    """Return the error of HTTP that says what the engine's says."""
    issue = error.issue
    coding = ISSUE_TYPES, issue.detail
    refused = FhirError.of([Issue(issue.severity, issue.code, issue.text, issue.expression, coding=coding)])
    refused.status = error.status
    return refused


def make_operation(asking: Asking) -> BuiltIn:
    """Return the operation that puts its calls to the engine."""
    definition = definition_of(asking.id)

    async def call(invocation: Invocation, context: ServerContext) -> bytes:
        instance = await _read_instance(invocation, context)
        try:
            asked, bound = _read(asking, invocation, instance)
        except TerminologyError as error:
            raise refusal(error) from error
        system = instance if asking.held is None else None

        def question(known: Known) -> bytes:
            engine = known.terminology
            if system is not None:
                engine = Terminology(Sources(Resources((system,)), known.source))
            complete = replace(asked, url=bound_value_set(known.source, bound)) if bound is not None else asked
            return encode_output(asking.answer(engine, asking.prepare(complete, known)), definition)

        about = None if instance is not None or bound is not None else asking.about(asked)
        key = None if about is None else (asking.id, about)
        return await put(context, question, key)

    return BuiltIn(definition, call)


async def put(context: ServerContext, question: Callable[[Known], T], about: object = None) -> T:
    """Return what the caller's tenant's terminology answers; its errors are those of HTTP."""
    try:
        return await context.terminologies.ask(context.caller.tenant, context.session, question, about)
    except TerminologyError as error:
        raise refusal(error) from error


async def _read_instance(invocation: Invocation, context: ServerContext) -> Resource | None:
    if invocation.id is None:
        return None
    resource = await context.read(f"{invocation.resource_type}/{invocation.id}")
    if resource is None:
        raise NotFound(f"{invocation.resource_type}/{invocation.id} is not known.")
    return resource


def _read(asking: Asking, invocation: Invocation, instance: Resource | None) -> tuple[Any, str | None]:
    """Return the engine's parameters and the ``context`` that names the value set, if one does.

    Raises TerminologyError and InvalidRequest.
    """
    given = invocation.parameters
    asked, unknown = asking.read(given)
    for name in unknown:
        if name in ("context", "contextDirection"):
            continue
        if name not in _NO_REQUEST or value(given, name) != _NO_REQUEST[name]:
            raise unsupported(f"the parameter {name} is not supported: what is current counts")
    bound, direction = value(given, "context"), value(given, "contextDirection")
    if direction is not None and (bound is None or direction not in _DIRECTIONS):
        raise invalid("contextDirection is incoming or outgoing, and goes with a context")
    if bound is not None and (instance is not None or asked.url is not None or asked.value_set is not None):
        raise invalid("the value set is named by one of url, valueSet and context")
    return (asked if instance is None else _on_instance(asking, asked, instance)), bound


def _on_instance(asking: Asking, asked: Any, instance: Resource) -> Any:
    """Return parameters that ask of the instance. Raises InvalidRequest when they name another resource."""
    if asking.held is not None:
        if asked.url is not None or getattr(asked, asking.held) is not None:
            raise InvalidRequest("On an instance the operation takes no other resource.", code="invalid")
        return replace(asked, **{asking.held: instance})
    url = instance.get("url")
    if url is None:
        raise InvalidRequest("The code system has no url, by which its codes are known.", code="required")
    for other in (asked.system, getattr(asked, "url", None)):
        if other not in (None, url):
            raise InvalidRequest(f"The code system is {url}, not {other}.", code="invalid")
    if getattr(asked, "code_system", None) is not None:
        raise InvalidRequest("On an instance the operation takes no other resource.", code="invalid")
    return replace(asked, system=url, **({"version": instance.get("version")} if hasattr(asked, "version") else {}))
