"""The operation framework with an operation made for the test, https://hl7.org/fhir/R4/operations.html."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.decode import decode
from conformance.issues import InvalidResource
from fhir_server.auth.caller import Caller, Grant
from fhir_server.errors import FhirError, InvalidRequest, NotFound, NotSupported
from fhir_server.operations.contract import Context, Invocation, Operation, OperationError, Resource
from fhir_server.operations.registry import register
from tests.interactions.conftest import Desk, caller_with


def parameter(name: str, type_: str | None = None, *, min_: int = 0, max_: str = "1", **more: Any) -> Resource:
    """Return an in-parameter's definition."""
    return {"name": name, "use": "in", "min": min_, "max": max_, **({"type": type_} if type_ else {}), **more}


DEFINITION: Resource = {
    "resourceType": "OperationDefinition",
    "url": "http://example.org/OperationDefinition/echo",
    "name": "Echo",
    "status": "active",
    "kind": "operation",
    "code": "echo",
    "resource": ["Patient"],
    "system": True,
    "type": True,
    "instance": True,
    "parameter": [
        parameter("text", "string", min_=1, max_="2"),
        parameter("times", "positiveInt"),
        parameter("ratio", "decimal"),
        parameter("on", "date"),
        parameter("loud", "boolean"),
        parameter("subject", "Patient"),
        parameter("anything", "Type"),
        parameter("part", part=[parameter("inner", "code", min_=1)]),
        {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"},
    ],
}


async def echo(invocation: Invocation, _: Context) -> Resource:
    """Return the input; refuse the word 'no'; break the promise at 'broken'."""
    given = invocation.parameters["parameter"]
    if given[0].get("valueString") == "no":
        raise OperationError(422, "business-rule", "not that", "Parameters.parameter[0]")
    if given[0].get("valueString") == "broken":
        return {"resourceType": "Patient"}
    return invocation.parameters


@pytest.fixture
def desk(dsn: str) -> Desk:
    """A desk with the operation."""
    return Desk(dsn, register([Operation(DEFINITION, echo)]))


def given(answer: Resource) -> dict[str, Any]:
    """Return the parameters' values by name."""
    return {p["name"]: next(v for k, v in p.items() if k != "name") for p in answer["parameter"]}


def call(desk: Desk, caller: Caller, *parameters: Resource) -> Resource:
    """Call by POST with Parameters."""
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return decode(desk.ask(caller, "POST", "Patient/$echo", body).content or b"")


def refused(desk: Desk, caller: Caller, *parameters: Resource) -> list[tuple[str, str | None]]:
    """Return code and expression of all issues of a refused call."""
    with pytest.raises(InvalidRequest) as error:
        call(desk, caller, *parameters)
    return [(i.code, i.expression) for i in error.value.issues]


def test_a_query_becomes_typed_parameters(desk: Desk, anyone: Caller) -> None:
    for place in ("$echo", "Patient/$echo", "Patient/p1/$echo"):
        answer = desk.get(anyone, f"{place}?text=hi&times=3&ratio=1.50&loud=true&on=2020-02&_format=json")
        assert given(answer) == {
            "text": "hi",
            "times": 3,
            "ratio": answer["parameter"][2]["valueDecimal"],
            "loud": True,
            "on": "2020-02",
        }
        assert str(answer["parameter"][2]["valueDecimal"]) == "1.50"


@pytest.mark.parametrize(
    "query",
    ["times=0", "times=1_0", "times=+1", "times=x", "ratio=NaN", "ratio=Infinity", "ratio=.5", "on=soon", "loud=yes",
     "text=", "nonsense=1", "subject=Patient/1", "part=x", "times=99999999999"],
)  # fmt: skip
def test_a_query_with_bad_values_is_refused(desk: Desk, anyone: Caller, query: str) -> None:
    with pytest.raises((InvalidRequest, InvalidResource)):
        desk.ask(anyone, "GET", f"Patient/$echo?text=x&{query}")


def test_parameters_are_held_to_the_definition(desk: Desk, anyone: Caller) -> None:
    text = {"name": "text", "valueString": "x"}
    subject = {"name": "subject", "resource": {"resourceType": "Patient"}}
    part = {"name": "part", "part": [{"name": "inner", "valueCode": "c"}]}
    anything = {"name": "anything", "valuePeriod": {"start": "2020"}}
    assert len(call(desk, anyone, text, subject, part, anything)["parameter"]) == 4
    where = "Parameters.parameter"
    assert refused(desk, anyone, {"name": "loud", "valueBoolean": True}) == [("required", where)]
    assert refused(desk, anyone, text, text, text) == [("structure", where)]
    assert refused(
        desk,
        anyone,
        text,
        {"name": "nonsense", "valueString": "x"},
        {"name": "times", "valueString": "3"},
        {"name": "subject", "resource": {"resourceType": "Basic", "code": {"text": "x"}}},
        {"name": "subject", "valueString": "x"},
        {"name": "part", "valueString": "x"},
        {"name": "anything", "part": [{"name": "x", "valueCode": "c"}]},
    ) == [
        ("not-supported", f"{where}[1]"),
        ("value", f"{where}[2]"),
        ("value", f"{where}[3]"),
        ("required", f"{where}[4]"),
        ("required", f"{where}[5]"),
        ("required", f"{where}[6]"),
        ("structure", where),
    ]
    wrong = {"name": "part", "part": [{"name": "other", "valueCode": "c"}]}
    assert refused(desk, anyone, text, wrong) == [
        ("not-supported", f"{where}[1].part[0]"),
        ("required", f"{where}[1].part"),
    ]
    nameless = {"_name": {"extension": [{"url": "http://x", "valueCode": "x"}]}, "valueString": "x"}
    assert refused(desk, anyone, text, nameless) == [("not-supported", f"{where}[1]")]


def test_a_plain_resource_is_the_one_resource_parameter(desk: Desk, anyone: Caller) -> None:
    # Without the required text it is refused, but as what it is: the parameter named subject is not unknown.
    with pytest.raises(InvalidRequest) as error:
        desk.ask(anyone, "POST", "Patient/$echo", {"resourceType": "Patient"})
    assert [i.diagnostics for i in error.value.issues] == ["$echo needs text."]


def test_what_a_handler_refuses_and_what_it_breaks(desk: Desk, anyone: Caller) -> None:
    with pytest.raises(FhirError) as no:
        call(desk, anyone, {"name": "text", "valueString": "no"})
    assert (no.value.status, no.value.issues[0].code) == (422, "business-rule")
    with pytest.raises(RuntimeError, match="invalid output"):
        call(desk, anyone, {"name": "text", "valueString": "broken"})


def test_where_an_operation_may_be_called(dsn: str, anyone: Caller) -> None:
    changing = {**DEFINITION, "affectsState": True, "system": False, "instance": False}
    desk = Desk(dsn, register([Operation(changing, echo)]))
    for url in ("$echo?text=x", "Patient/p/$echo?text=x", "Observation/$echo?text=x", "Patient/$other?text=x"):
        with pytest.raises(NotFound):
            desk.ask(anyone, "POST", url)
    with pytest.raises(NotSupported):
        desk.ask(anyone, "GET", "Patient/$echo?text=x")
    assert desk.status(anyone, "POST", "Patient/$echo?text=x") == 200
    assert desk.status(caller_with(Grant("Patient", frozenset(("read",)))), "POST", "Patient/$echo?text=x") == 403


def test_definitions_are_checked_when_registered() -> None:
    operation = Operation(DEFINITION, echo)
    with pytest.raises(ValueError, match="two operations"):
        register([operation, operation])
    with pytest.raises(ValueError, match="url"):
        register([Operation({k: v for k, v in DEFINITION.items() if k != "url"}, echo)])
    with pytest.raises(InvalidResource):
        register([Operation({**DEFINITION, "status": "nope"}, echo)])


def test_a_handler_reads_searches_and_writes(dsn: str, anyone: Caller) -> None:
    seen: list[Any] = []

    async def work(invocation: Invocation, context: Context) -> Resource:
        entry = {"request": {"method": "PUT", "url": "Patient/w"}, "resource": {"resourceType": "Patient", "id": "w"}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        written = await context.write(bundle)
        seen.append(written["entry"][0]["response"]["status"])
        for reference in (
            "Patient/w",
            "Patient/none",
            "Nonsense/w",
            "http://x/Patient/w",
            "Patient/a b",
            "urn:uuid:x",
            "",
        ):
            found = await context.read(reference)
            seen.append(found and found["id"])
        seen.extend(r["id"] for r in await context.search("Patient", [("_id", "w")]))
        return invocation.parameters

    desk = Desk(dsn, register([Operation(DEFINITION, work)]))
    call(desk, anyone, {"name": "text", "valueString": "x"})
    assert seen == ["201 Created", "w", None, None, None, None, None, None, "w"]
