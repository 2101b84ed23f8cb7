"""The terminology operations in the server, https://hl7.org/fhir/R4/terminology-service.html."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.decode import decode
from fhir_server.auth.caller import anonymous
from fhir_server.errors import Forbidden, InvalidRequest, NotFound
from fhir_server.interactions.context import Context
from fhir_server.interactions.request import Conditions, Request, parse_query, parse_target
from fhir_server.interactions.run import run
from fhir_server.store.database import Session
from tests.interactions.conftest import caller_with
from tests.operations.conftest import Clinic, Resource, resource

GENDER = "http://hl7.org/fhir/administrative-gender"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
DYES, RED_DYES = "http://own.org/cs/dyes", "http://own.org/vs/red-dyes"


def _dyes(*more: str) -> Resource:
    concepts = [
        {"code": "red", "display": "Red", "concept": [{"code": "crimson", "display": "Crimson"}]},
        {"code": "blue"},
    ]
    return resource(
        "CodeSystem", "dyes", url=DYES, version="1", status="active", content="complete",
        concept=[*concepts, *({"code": code} for code in more)],
    )  # fmt: skip


def _red_dyes(top: str = "red") -> Resource:
    chosen = {"system": DYES, "filter": [{"property": "concept", "op": "is-a", "value": top}]}
    return resource("ValueSet", "red-dyes", url=RED_DYES, status="active", compose={"include": [chosen]})


def _value(answer: Resource, name: str) -> Any:
    given = next(p for p in answer["parameter"] if p["name"] == name)
    return next(value for key, value in given.items() if key.startswith("value"))


def _codes(answer: Resource) -> list[str]:
    def walk(contains: list[Resource]) -> list[str]:
        return [code for item in contains for code in (item["code"], *walk(item.get("contains", [])))]

    return walk(answer["expansion"].get("contains", []))


def test_a_code_is_looked_up_in_all_forms_of_input(clinic: Clinic) -> None:
    by_query = clinic.fetch(f"CodeSystem/$lookup?system={GENDER}&code=male")
    coding = {"name": "coding", "valueCoding": {"system": GENDER, "code": "male"}}
    assert clinic.call("CodeSystem/$lookup", coding) == by_query
    assert _value(by_query, "display") == "Male"
    assert _value(by_query, "definition") == "Male."
    refused = clinic.refusal("GET", f"CodeSystem/$lookup?system={GENDER}&code=none")
    assert (refused.status, refused.issues[0].code) == (404, "not-found")
    assert refused.issues[0].as_json()["details"]["coding"][0]["code"] == "invalid-code"


def test_stored_resources_count_from_the_next_request_on(clinic: Clinic) -> None:
    asked = f"ValueSet/$validate-code?url={RED_DYES}&system={DYES}&code=blue"
    clinic.put(_dyes(), _red_dyes())
    assert _value(clinic.fetch(asked), "result") is False
    assert _codes(clinic.fetch(f"ValueSet/$expand?url={RED_DYES}")) == ["red", "crimson"]
    clinic.put(_red_dyes("blue"))
    assert _value(clinic.fetch(asked), "result") is True
    clinic.ask(anonymous(), "DELETE", "ValueSet/red-dyes")
    assert clinic.refusal("GET", asked).status == 404


def test_operations_on_instances(clinic: Clinic) -> None:
    clinic.put(_dyes(), _red_dyes())
    assert _codes(clinic.fetch("ValueSet/red-dyes/$expand?filter=crim")) == ["crimson"]
    assert _value(clinic.fetch(f"ValueSet/red-dyes/$validate-code?system={DYES}&code=crimson"), "display") == "Crimson"
    assert _value(clinic.fetch("CodeSystem/dyes/$validate-code?code=crimson"), "result") is True
    assert _value(clinic.fetch("CodeSystem/dyes/$subsumes?codeA=red&codeB=crimson"), "outcome") == "subsumes"
    found = clinic.call(
        "CodeSystem/dyes/$find-matches",
        {"name": "exact", "valueBoolean": True},
        {"name": "property", "part": [{"name": "code", "valueCode": "parent"}, {"name": "value", "valueCode": "red"}]},
    )
    assert found["parameter"][0]["part"][0]["valueCoding"]["code"] == "crimson"
    assert clinic.refusal("GET", "ValueSet/nowhere/$expand").status == 404
    assert clinic.refusal("GET", f"ValueSet/red-dyes/$expand?url={GENDERS}").status == 400
    assert clinic.refusal("GET", f"CodeSystem/dyes/$validate-code?url={GENDER}&code=male").status == 400


def test_an_instance_is_read_with_the_grants_of_the_caller(clinic: Clinic) -> None:
    clinic.put(_dyes(), _red_dyes())
    nobody = caller_with()
    with pytest.raises(Forbidden):
        clinic.ask(nobody, "GET", "ValueSet/red-dyes/$expand")


def test_a_value_set_that_is_sent_along(clinic: Clinic) -> None:
    sent = {"resourceType": "ValueSet", "status": "draft", "compose": {"include": [{"system": GENDER}]}}
    assert _codes(clinic.call("ValueSet/$expand", sent)) == ["male", "female", "other", "unknown"]
    page = clinic.call("ValueSet/$expand?offset=1&count=2", sent)
    assert _codes(page) == ["female", "other"]
    assert (page["expansion"]["total"], page["expansion"]["offset"]) == (4, 1)


def test_a_page_has_its_bound_and_tells_it(clinic: Clinic) -> None:
    icd = {"resourceType": "ValueSet", "status": "draft"}
    icd["compose"] = {"include": [{"system": "http://hl7.org/fhir/sid/icd-10-cm"}]}  # type: ignore[assignment]
    assert clinic.refusal("POST", "ValueSet/$expand", icd).issues[0].code == "too-costly"
    page = clinic.call("ValueSet/$expand?count=50000", icd)
    assert len(_codes(page)) == 10_000
    assert {"name": "count", "valueInteger": 10_000} in page["expansion"]["parameter"]


@pytest.mark.parametrize(
    "context", ["Patient.gender", "http://hl7.org/fhir/StructureDefinition/Patient#Patient.gender"]
)
def test_the_value_set_of_an_element(clinic: Clinic, context: str) -> None:
    expanded = clinic.fetch(f"ValueSet/$expand?context={context.replace('#', '%23')}&contextDirection=incoming")
    assert expanded["url"] == GENDERS
    checked = clinic.fetch(f"ValueSet/$validate-code?context={context.replace('#', '%23')}&system={GENDER}&code=male")
    assert _value(checked, "result") is True


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"ValueSet/$expand?url={GENDERS}&date=2015-01-01", 422),
        (f"ValueSet/$expand?url={GENDERS}&nonsense=1", 400),
        (f"ValueSet/$expand?url={GENDERS}&count=-1", 400),
        (f"ValueSet/$expand?url={GENDERS}&contextDirection=incoming", 400),
        (f"ValueSet/$expand?url={GENDERS}&context=Patient.gender", 400),
        ("ValueSet/$expand?context=Patient.birthDate", 400),
        ("ValueSet/$expand?context=Patient.nonsense", 404),
        ("ValueSet/$expand?context=Nonsense.gender", 404),
        ("ValueSet/$expand", 400),
        ("ValueSet/$expand?url=http://own.org/nowhere", 404),
        (f"ValueSet/$validate-code?url={GENDERS}&code=male", 400),
        (f"CodeSystem/$subsumes?system={ACT}&codeA=IMP", 400),
        ("ConceptMap/$translate?url=http://own.org/nowhere&system=a&code=b", 404),
    ],
)
def test_what_is_refused(clinic: Clinic, url: str, status: int) -> None:
    assert clinic.refusal("GET", url).status == status


def test_a_translation_is_found_without_naming_the_map(clinic: Clinic) -> None:
    element = {"code": "red", "target": [{"code": "rot", "equivalence": "equal"}]}
    group = {"source": DYES, "target": "http://own.org/cs/farben", "element": [element]}
    clinic.put(resource("ConceptMap", "farben", url="http://own.org/cm", status="active", group=[group]))
    assert _value(clinic.fetch(f"ConceptMap/$translate?system={DYES}&code=red"), "result") is True
    assert _value(clinic.fetch(f"ConceptMap/$translate?system={DYES}&code=blue"), "result") is False
    back = clinic.fetch("ConceptMap/$translate?system=http://own.org/cs/farben&code=rot&reverse=true")
    match = next(p for p in back["parameter"] if p["name"] == "match")
    assert {"system": DYES, "code": "red"} in [part.get("valueCoding") for part in match["part"]]
    shipped = clinic.fetch("ConceptMap/$translate?system=http://hl7.org/fhir/address-use&code=home")
    assert _value(shipped, "result") is True
    assert _value(clinic.fetch(f"ConceptMap/farben/$translate?system={DYES}&code=red"), "result") is True


def test_asking_again_takes_no_statement(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic.put(_dyes(), _red_dyes())
    statements: list[str] = []
    fetch = Session.fetch

    async def counted(self: Session, sql: str, *arguments: Any, **more: Any) -> Any:
        statements.append(sql)
        return await fetch(self, sql, *arguments, **more)

    async def act(context: Context) -> tuple[Resource, list[str]]:
        query = parse_query(f"url={RED_DYES}&system={DYES}&code=crimson")
        request = Request(parse_target("GET", "ValueSet/$validate-code", query), Conditions())
        await run(context, request)
        monkeypatch.setattr(Session, "fetch", counted)
        answer = await run(context, request)
        return decode(answer.content or b""), [sql for sql in statements if "generation" not in sql]

    answer, needed = clinic.work(anonymous(), act)
    assert _value(answer, "result") is True
    assert needed == []


def test_the_statements_of_capability(clinic: Clinic) -> None:
    stated = clinic.fetch("metadata")
    by_type = {r["type"]: {o["name"] for o in r.get("operation", ())} for r in stated["rest"][0]["resource"]}
    assert {"lookup", "validate-code", "subsumes", "find-matches"} <= by_type["CodeSystem"]
    assert {"expand", "validate-code"} <= by_type["ValueSet"]
    assert "translate" in by_type["ConceptMap"]
    assert "closure" in {o["name"] for o in stated["rest"][0]["operation"]}
    terms = clinic.fetch("metadata?mode=terminology")
    assert terms["resourceType"] == "TerminologyCapabilities"
    assert {"uri": GENDER, "version": [{"code": "4.0.1", "isDefault": True}]} in terms["codeSystem"]
    assert "filter" in {p["name"] for p in terms["expansion"]["parameter"]}
    assert "date" not in {p["name"] for p in terms["expansion"]["parameter"]}


def _closure(clinic: Clinic, name: str, *codes: str, version: str | None = None) -> tuple[str, set[tuple[str, str]]]:
    parameters: list[Resource] = [{"name": "name", "valueString": name}]
    parameters += [{"name": "concept", "valueCoding": {"system": ACT, "code": code}} for code in codes]
    parameters += [{"name": "version", "valueString": version}] if version is not None else []
    answer = clinic.call("$closure", *parameters)
    pairs = {
        (element["code"], target["code"])
        for group in answer.get("group", ())
        for element in group["element"]
        for target in element["target"]
    }
    return answer["version"], pairs


def test_a_closure_table_grows_and_can_be_asked_for_again(clinic: Clinic) -> None:
    assert _closure(clinic, "t") == ("0", set())
    assert _closure(clinic, "t", "ACUTE") == ("1", set())
    assert _closure(clinic, "t", "IMP", "AMB") == ("2", {("ACUTE", "IMP")})
    assert _closure(clinic, "t", "NONAC") == ("3", {("NONAC", "IMP")})
    assert _closure(clinic, "t", "NONAC") == ("3", set())
    assert _closure(clinic, "t", version="0") == ("3", {("ACUTE", "IMP"), ("NONAC", "IMP")})
    assert _closure(clinic, "t", version="2") == ("3", {("NONAC", "IMP")})
    assert _closure(clinic, "t") == ("0", set())
    assert _closure(clinic, "t", version="0") == ("0", set())


def test_what_a_closure_refuses(clinic: Clinic) -> None:
    with pytest.raises(NotFound):
        _closure(clinic, "unknown", "IMP")
    _closure(clinic, "r")
    with pytest.raises(InvalidRequest):
        _closure(clinic, "r", version="9")
    with pytest.raises(InvalidRequest):
        _closure(clinic, "r", "IMP", version="0")
    with pytest.raises(InvalidRequest):
        _closure(clinic, "r", version="first")
    name = {"name": "name", "valueString": "r"}
    unknown = {"name": "concept", "valueCoding": {"system": ACT, "code": "none"}}
    body = {"resourceType": "Parameters", "parameter": [name, unknown]}
    assert clinic.refusal("POST", "$closure", body).status == 404
    assert clinic.refusal("GET", "$closure?name=r").status == 405
    assert _closure(clinic, "r", version="0") == ("0", set())
