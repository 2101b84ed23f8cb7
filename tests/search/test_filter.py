"""``_filter`` on PostgreSQL: what it finds, what it refuses, and that any text is one or the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fhir_server.auth.caller import Caller, Grant, Interaction
from fhir_server.errors import Forbidden
from fhir_server.search.bind import bind
from fhir_server.search.condition import Candidate
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.filter.expression import OPERATORS, Expression, Logical, Negation, Step, Test, Value
from fhir_server.search.filter.parse import MOST_LEVELS, MOST_TESTS, parse_filter
from fhir_server.search.index import index
from fhir_server.search.page import page
from fhir_server.search.parse import parse
from fhir_server.search.registry import standard
from fhir_server.search.rewrites import rewrite
from tests.search.world import World

READ: frozenset[Interaction] = frozenset(("read", "search"))
Test.__test__ = False  # type: ignore[attr-defined] # a comparison, not a class of tests
SYSTEM = "urn:oid:1.2"


def ref(text: str) -> dict[str, str]:
    return {"reference": text}


RESOURCES: tuple[dict[str, Any], ...] = (
    {"resourceType": "Patient", "id": "peter", "name": [{"given": ["Peter"], "family": "Chalmers"}], "gender": "male",
     "birthDate": "1974-12-25", "identifier": [{"system": SYSTEM, "value": "1|2"}], "active": True},
    {"resourceType": "Patient", "id": "petra", "name": [{"given": ["Petra", "Anna"]}], "gender": "female",
     "birthDate": "2014-11-01"},
    {"resourceType": "Patient", "id": "pet", "name": [{"given": ["Pét"], "text": 'say "hi", all'}], "gender": "other"},
    {"resourceType": "Patient", "id": "none"},
    {"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": ref("Patient/peter"),
     "period": {"start": "2020-01-01", "end": "2020-01-31"}},
    {"resourceType": "Encounter", "id": "e2", "status": "planned", "subject": ref("Patient/petra"),
     "period": {"start": "2020-01-20"}},
    {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"coding": [{"system": SYSTEM, "code": "x"}]},
     "subject": ref("Patient/peter"), "encounter": ref("Encounter/e1"),
     "valueQuantity": {"value": 5.4, "system": "http://unitsofmeasure.org", "code": "mg"}},
    {"resourceType": "Observation", "id": "o2", "status": "amended", "code": {"coding": [{"code": "y"}]},
     "subject": ref("Patient/petra"), "encounter": ref("Encounter/e2"),
     "valueQuantity": {"value": 7, "system": "http://unitsofmeasure.org", "code": "mg"}},
    {"resourceType": "Observation", "id": "o3", "status": "final", "code": {"coding": [{"code": "y"}]}},
    {"resourceType": "RiskAssessment", "id": "r1", "status": "final", "subject": ref("Patient/peter"),
     "prediction": [{"probabilityDecimal": 0.5}]},
)  # fmt: skip


@pytest.fixture
def ward(world: World) -> World:
    world.put(*RESOURCES)
    return world


FOUND: tuple[tuple[str, str, set[str]], ...] = (
    ("Patient", 'given eq "peter"', {"peter"}),
    ("Patient", "given eq PETER", {"peter"}),
    ("Patient", "given eq pet", {"pet"}),
    ("Patient", 'given eq "peter" and birthdate ge 1974-10-10', {"peter"}),
    ("Patient", 'given eq "peter" and birthdate ge 2014-10-10', set()),
    ("Patient", 'given sw "pet"', {"peter", "petra", "pet"}),
    ("Patient", 'given co "etr"', {"petra"}),
    ("Patient", 'given ew "er"', {"peter"}),
    ("Patient", "given ne peter", {"petra", "pet"}),
    ("Patient", "given ne petra", {"peter", "petra", "pet"}),
    ("Patient", "not (given eq peter)", {"petra", "pet", "none"}),
    ("Patient", r'name eq "say \"hi\", all"', {"pet"}),
    ("Patient", r'name eq "S\u0061Y \"hi\", all"', {"pet"}),
    ("Patient", "gender eq male or gender eq other", {"peter", "pet"}),
    ("Patient", "gender eq male or gender eq female and given eq anna", {"peter", "petra"}),
    ("Patient", "(gender eq male or gender eq female) and given eq anna", {"petra"}),
    ("Patient", "not (gender eq male or given sw pet)", {"none"}),
    ("Patient", "not(gender eq male) and not(given pr false)", {"petra", "pet"}),
    ("Patient", "birthdate pr true", {"peter", "petra"}),
    ("Patient", "birthdate pr false", {"pet", "none"}),
    ("Patient", "birthdate lt 2000", {"peter"}),
    ("Patient", "birthdate eq 1974-12", {"peter"}),
    ("Patient", "birthdate ne 1974-12", {"petra"}),
    ("Patient", "birthdate sa 1974-12-25", {"petra"}),
    ("Patient", "birthdate eb 2014-11-01", {"peter"}),
    ("Patient", "birthdate le 1974-12-25", {"peter"}),
    ("Patient", "birthdate gt 1974-12-25", {"petra"}),
    ("Patient", "_id eq peter or _id eq none", {"peter", "none"}),
    ("Patient", "_id ne peter", {"petra", "pet", "none"}),
    ("Patient", "_lastUpdated ge 2020-01-01 and _lastUpdated pr true and active eq true", {"peter"}),
    ("Patient", rf'identifier eq "{SYSTEM}|1\\|2"', {"peter"}),
    ("Patient", f"identifier eq {SYSTEM}|", {"peter"}),
    ("Encounter", "date po 2020-01-25", {"e1", "e2"}),
    ("Encounter", "date po 2020-01-10", {"e1"}),
    ("Encounter", "date po 2021", {"e2"}),
    ("Encounter", "subject re Patient/peter", {"e1"}),
    ("Encounter", "subject eq Patient/peter or subject eq Patient/petra", {"e1", "e2"}),
    ("Observation", "value-quantity gt 6", {"o2"}),
    ("Observation", "value-quantity eq 5.4|http://unitsofmeasure.org|mg", {"o1"}),
    ("Observation", "value-quantity ap 5.5", {"o1"}),
    ("Observation", "patient.given eq peter", {"o1"}),
    ("Observation", "subject:Patient.given eq peter", {"o1"}),
    ("Observation", "patient.given sw pet and not(patient.given eq peter)", {"o2"}),
    ("Observation", "not (patient.given eq peter)", {"o2", "o3"}),
    ("Observation", "patient.given eq peter or code eq y", {"o1", "o2", "o3"}),
    ("Observation", "patient.birthdate pr false or encounter.status eq planned", {"o2"}),
    ("Observation", "patient[given eq petra and gender eq female].birthdate ge 2000", {"o2"}),
    ("Observation", "patient[given eq petra or gender eq male].birthdate lt 2000", {"o1"}),
    ("Observation", "encounter[status eq finished].patient[gender eq male].given sw pe", {"o1"}),
    ("Observation", "encounter[patient[gender eq male].given sw pe].status eq finished", {"o1"}),
    ("Observation", "encounter.patient.given sw pe", {"o1", "o2"}),
    ("Observation", "subject[gender eq male].active eq true", {"o1"}),
    ("RiskAssessment", "probability ge 0.4 and probability lt 1", {"r1"}),
)


@pytest.mark.parametrize(("resource_type", "text", "found"), FOUND, ids=lambda v: str(v)[:50])
def test_filters_find(ward: World, resource_type: str, text: str, found: set[str]) -> None:
    result = ward.page(resource_type, ("_filter", text), ("_total", "accurate"), strict=True)
    assert {m.id for m in result.matches} == found
    assert result.total == len(found)
    assert result.used[0] == ("_filter", text)
    assert str(parse_filter(str(parse_filter(text)))) == str(parse_filter(text))


def concept(*codes: str) -> dict[str, Any]:
    return {"coding": [{"system": code.partition("|")[0], "code": code.partition("|")[2]} for code in codes]}


def defined(*canonicals: str) -> list[dict[str, str]]:
    return [{"definitionCanonical": canonical} for canonical in canonicals]


UNEQUAL: tuple[dict[str, Any], ...] = (
    {"resourceType": "Encounter", "id": "none", "status": "planned"},
    {"resourceType": "Encounter", "id": "one", "type": [concept("s|a")], "diagnosis": [
        {"condition": ref("Condition/1")}]},
    {"resourceType": "Encounter", "id": "translated", "type": [concept("s|a", "t|b")], "diagnosis": [
        {"condition": ref("http://here/fhir/Condition/1")}, {"condition": ref("Condition/1/_history/2")}]},
    {"resourceType": "Encounter", "id": "two", "type": [concept("s|a"), concept("s|b")], "diagnosis": [
        {"condition": ref("Condition/1")}, {"condition": ref("Procedure/1")}]},
    {"resourceType": "Encounter", "id": "both", "type": [concept("s|a"), concept("t|c", "s|a")], "diagnosis": [
        {"condition": ref("Condition/1")}, {"condition": ref("Condition/2")}]},
    {"resourceType": "Encounter", "id": "text", "type": [concept("s|a"), {"text": "A"}], "diagnosis": [
        {"condition": ref("Condition/1")}, {"condition": {"display": "A"}}]},
    {"resourceType": "Encounter", "id": "named", "type": [{"text": "A"}], "diagnosis": [
        {"condition": {"identifier": {"value": "x"}}}]},
    {"resourceType": "PlanDefinition", "id": "lone", "status": "active", "action": defined("http://x/l|1")},
    {"resourceType": "PlanDefinition", "id": "twice", "status": "active", "action": defined("http://x/l|1", "http://x/l|2")},
    {"resourceType": "PlanDefinition", "id": "mixed", "status": "active", "action": defined("http://x/l|1", "http://x/m|1")},
    {"resourceType": "PlanDefinition", "id": "bare", "status": "active"},
    {"resourceType": "CapabilityStatement", "id": "guided", "implementationGuide": ["http://x/g|1", "http://x/g|2"]},
    {"resourceType": "CapabilityStatement", "id": "guides", "implementationGuide": ["http://x/g|1", "http://x/h"]},
    {"resourceType": "Group", "id": "flags", "characteristic": [{"exclude": True}, {"exclude": False}]},
    {"resourceType": "Group", "id": "set", "characteristic": [{"exclude": True}, {"exclude": True}]},
    {"resourceType": "Observation", "id": "parted", "code": concept("s|a"), "component": [{"code": concept("s|b")}]},
    {"resourceType": "Observation", "id": "alike", "code": concept("s|a"), "component": [{"code": concept("s|a")}]},
)  # fmt: skip


@pytest.mark.parametrize(
    ("resource_type", "text", "found"),
    [
        ("Encounter", "type ne s|a", {"two", "text", "named"}),
        ("Encounter", "type ne a", {"two", "text", "named"}),
        ("Encounter", "type ne s|b", {"one", "translated", "two", "both", "text", "named"}),
        ("Encounter", "type ne s|", {"text", "named"}),
        ("Encounter", "type ne t|", {"one", "two", "both", "text", "named"}),
        ("Encounter", "type ne |a", {"one", "translated", "two", "both", "text", "named"}),
        ("Encounter", "not (type ne s|a)", {"none", "one", "translated", "both"}),
        ("Encounter", "diagnosis ne Condition/1", {"two", "both", "text", "named"}),
        ("Encounter", "diagnosis ne http://here/fhir/Condition/1", {"two", "both", "text", "named"}),
        ("Encounter", "diagnosis ne 1", {"both", "text", "named"}),
        ("Encounter", "diagnosis:Condition ne 1", {"two", "both", "text", "named"}),
        ("PlanDefinition", "definition ne http://x/l", {"mixed"}),
        ("PlanDefinition", "definition ne http://x/l|1", {"twice", "mixed"}),
        ("CapabilityStatement", "guide ne http://x/g", {"guides"}),
        ("CapabilityStatement", "guide ne http://x/g|1", {"guided", "guides"}),
        ("Group", "exclude ne true", {"flags"}),
        ("Group", "exclude ne http://terminology.hl7.org/CodeSystem/special-values|", set()),
        ("Group", "exclude ne http://terminology.hl7.org/CodeSystem/special-values|true", {"flags"}),
        ("Observation", "combo-code ne s|a", {"parted"}),
        ("Observation", "combo-code ne s|", set()),
        ("Observation", "code ne s|a", set()),
    ],
)
def test_ne_finds_an_unequal_value(world: World, resource_type: str, text: str, found: set[str]) -> None:
    world.base_url = "http://here/fhir"
    world.put(*(r for r in UNEQUAL if r["resourceType"] == resource_type))
    assert set(world.ids(resource_type, ("_filter", text), strict=True)) == found
    environment = Environment(world.tenant, standard(), world.base_url)
    where = bind(resource_type, parse([("_filter", text)]), environment, strict=True).where
    held = {
        resource["id"]
        for resource in UNEQUAL
        if resource["resourceType"] == resource_type
        and where.holds(Candidate(None, None, index(resource_type, resource, world.tenant, base_url=world.base_url)))
    }
    assert held == found


def test_a_filter_goes_with_other_criteria_and_filters(ward: World) -> None:
    assert ward.ids("Patient", ("_filter", "given sw pet"), ("gender", "male")) == ["peter"]
    assert ward.ids("Patient", ("_filter", "given sw pet"), ("_filter", "birthdate ge 2000")) == ["petra"]
    assert ward.walk("Patient", ("_filter", "given sw pet"), ("_count", "1"), ("_sort", "_id")) == [
        "pet",
        "peter",
        "petra",
    ]


REFUSED = (
    ("", ""),
    ("given", "character 6"),
    ("given eq", "character 9"),
    ("given xx 1", "character 7"),
    ("given eq peter and", "character 19"),
    ("given eq peter birthdate", "character 16"),
    ("(given eq peter", "character 16"),
    ("given eq peter)", "character 15"),
    ("not given eq peter", "character 5"),
    ('given eq "peter', "character 10"),
    (r'given eq "\x"', "character 10"),
    (r'given eq "\u0000"', "character 10"),
    (r'given eq "\ud800"', "character 10"),
    ("given.", "character 7"),
    ("organization[name eq x] eq y", "character 24"),
    ("organization[name eq x.y", "character 25"),
    ("gender eq male and nonsense eq x", "character 20"),
    ("gender co male", "'co' is not for parameters of type token"),
    ("given gt x", "'gt' is not for parameters of type string"),
    ("_text ne x", "character 1"),
    ("given:exact eq x", "'eq' can't be used with ':exact'"),
    ("identifier:text ne x", "'ne' can't be used with ':text'"),
    ("general-practitioner:Practitioner pr true", "'pr' can't be used with ':Practitioner'"),
    ("birthdate re x", "'re' is not for parameters of type date"),
    ("birthdate eq x", "character 1"),
    ("birthdate po 2020-13", "character 1"),
    ("birthdate pr maybe", "pr' takes true or false"),
    ("gender[given eq x].name eq y", "no reference parameter 'gender'"),
    ("organization.nonsense eq x", "no search parameter 'nonsense'"),
    ("organization:Patient.name eq x", "never refers to Patient"),
    ("given eq " + "x" * 300, "less than 200 characters"),
    ("link." * 300 + "name eq x", "steps"),
    ("(" * 5000 + "given eq x" + ")" * 5000, f"more than {MOST_LEVELS} levels"),
    ("organization[" * 5000, f"more than {MOST_LEVELS} levels"),
    (" or ".join(["given eq x"] * (MOST_TESTS + 1)), f"more than {MOST_TESTS} comparisons"),
)


@pytest.mark.parametrize(("text", "told"), REFUSED[1:], ids=lambda v: str(v)[:40])
def test_filters_that_cannot_be_used_are_refused_with_the_place(ward: World, text: str, told: str) -> None:
    with pytest.raises(InvalidSearch) as refused:
        ward.page("Patient", ("_filter", text))
    assert told in refused.value.issues[0].diagnostics
    assert "at character" in refused.value.issues[0].diagnostics


@pytest.mark.parametrize(
    ("operator", "question"),
    [("ss", ("below", "s|x")), ("sb", ("above", "s|x")), ("in", ("in", "s|x")), ("ni", ("in", "s|x"))],
)
def test_operators_of_terminology(operator: str, question: tuple[str, str]) -> None:
    environment = Environment(1, standard(), terms={question: frozenset({("s", "y")})})
    found = bind("Observation", parse([("_filter", f"code {operator} s|x")]), environment, strict=True).where
    for code in "xy":
        resource = {"resourceType": "Observation", "code": {"coding": [{"system": "s", "code": code}]}}
        holds = found.holds(Candidate("o", None, index("Observation", resource, 1)))
        assert holds == ((code == "y") != (operator == "ni"))


def test_filters_find_only_by_what_the_caller_may_search(ward: World) -> None:
    only = ward.caller((Grant("Observation", READ),))
    for text in (
        "patient.given eq peter",
        "code eq y or not(patient.given eq peter)",
        "patient[gender eq male].given sw p",
    ):
        with pytest.raises(Forbidden, match="Patient"):
            ward.ids("Observation", ("_filter", text), caller=only)
    limited = ward.caller((Grant("Observation", READ), Grant("Patient", READ, (("gender", "female"),))))
    assert ward.ids("Observation", ("_filter", "patient.given sw pet"), caller=limited) == ["o2"]
    own = ward.caller((Grant("Observation", READ, (("code", "x"),)),))
    assert ward.ids("Observation", ("_filter", "code eq x or code eq y"), caller=own) == ["o1"]
    assert ward.ids("Observation", ("_filter", "not(code eq x)"), caller=own) == []


names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_\-]{0,8}", fullmatch=True)
strings = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
values = strings.map(lambda text: Value(text, quoted=True)) | st.from_regex(
    r"[A-Za-z0-9.:|\-]{1,12}", fullmatch=True
).map(lambda text: Value(text, quoted=False))


def comparisons(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    plain = st.builds(Step, names, st.none() | st.sampled_from(["Patient", "Group"]))
    before = st.builds(Step, names, st.none(), inner) | plain
    paths = st.tuples(st.lists(before, max_size=2), plain).map(lambda p: (*p[0], p[1]))
    return st.builds(Test, paths, st.sampled_from(OPERATORS), values)


def deeper(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(Logical, st.sampled_from(["and", "or"]), several) | st.builds(Negation, inner) | comparisons(inner)


expressions: st.SearchStrategy[Expression] = st.recursive(comparisons(st.nothing()), deeper, max_leaves=6)


@given(expressions)
def test_a_tree_survives_being_written(expression: Expression) -> None:
    try:
        assert parse_filter(str(expression)) == expression
    except InvalidSearch as refused:
        assert "levels" in refused.issues[0].diagnostics  # noqa: PT017 - else it must not be refused


def compile_filter(resource_type: str, text: str) -> None:
    """Bring a filter as far as its statement. Raises nothing but InvalidSearch."""
    environment, caller = Environment(1, standard()), Caller("tester", 1, (Grant(),))
    query = bind(resource_type, parse([("_filter", text)]), environment, strict=True)
    page(rewrite(query, caller, environment), None)


pieces = st.sampled_from(
    ["given", "subject", "patient", "encounter", ".", "[", "]", "(", ")", " ", " eq ", " and ", " or ", "not", "not(",
     '"x"', '"', "\\", "peter", "2020", "5.4", "code", "date", " ge ", " pr true", "_id", ":Patient", ",", "|", "$", "\u2003"]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(["Observation", "Patient"]), strings | st.lists(pieces, max_size=24).map("".join))
@example("Observation", "(" * 100_000)
@example("Observation", "not(" * 100_000)
@example("Observation", "subject[" * 100_000)
@example("Observation", '"' * 100_000)
def test_any_text_is_a_query_or_cleanly_refused(resource_type: str, text: str) -> None:
    try:
        compile_filter(resource_type, text)
    except InvalidSearch as refused:
        assert all(issue.diagnostics for issue in refused.issues)  # noqa: PT017 - the other outcome is as good


@settings(deadline=None)
@given(st.sampled_from(["Observation", "Patient"]), expressions)
def test_any_tree_is_a_query_or_cleanly_refused(resource_type: str, expression: Expression) -> None:
    try:
        compile_filter(resource_type, str(expression))
    except InvalidSearch as refused:
        assert all("at character" in issue.diagnostics for issue in refused.issues)  # noqa: PT017 - as above


def test_the_deepest_filter_compiles() -> None:
    deep = (
        "has-member:Observation.patient.link:Patient.general-practitioner:Organization.partof.partof.partof.name eq x"
    )
    for _ in range(MOST_LEVELS):
        deep = f"not (code eq a and (status eq b or {deep}))" if deep.count("(") < MOST_LEVELS - 1 else deep
    compile_filter("Observation", deep)
    nested = "status eq x"
    for _ in range(7):
        nested = f"has-member:Observation[{nested}].code eq y"
    compile_filter("Observation", nested)
