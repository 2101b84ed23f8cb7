"""What FHIRPath means: three-valued logic, partial dates, units, navigation with types, variables, hooks, errors."""

from __future__ import annotations

import contextlib
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.fhirpath import FHIRPathError, Hooks, Temporal, evaluate

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "active": True,
    "name": [
        {"use": "official", "family": "Lovelace", "given": ["Ada", None], "_given": [None, {"id": "g2"}]},
        {"use": "usual", "given": ["Ada"], "_family": {"extension": [{"url": "http://x", "valueCode": "unknown"}]}},
    ],
    "birthDate": "1815-12-10",
    "multipleBirthInteger": 2,
    "managingOrganization": {"reference": "Organization/1"},
    "generalPractitioner": [{"reference": "#gp"}, {"reference": "Practitioner/9"}],
    "contained": [{"resourceType": "Practitioner", "id": "gp", "gender": "female"}],
    "contact": [{"name": {"family": "King"}}],
}
LOGIC = {"true": (True,), "false": (False,), "{}": (True, False)}
CLASSICAL = {
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "xor": lambda a, b: a != b,
    "implies": lambda a, b: not a or b,
}


def one(expression: str, resource: dict[str, Any] = PATIENT, **options: Any) -> Any:
    (value,) = evaluate(expression, resource, **options)
    return value


@pytest.mark.parametrize("operator", ["and", "or", "xor", "implies"])
@pytest.mark.parametrize("left", LOGIC)
@pytest.mark.parametrize("right", LOGIC)
def test_three_valued_logic(operator: str, left: str, right: str) -> None:
    # a result is known exactly if it is the same whatever the unknown operands are
    worlds = {CLASSICAL[operator](a, b) for a in LOGIC[left] for b in LOGIC[right]}
    assert evaluate(f"{left} {operator} {right}", {}) == (list(worlds) if len(worlds) == 1 else [])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@2020 = @2020", [True]),
        ("@2020 = @2021", [False]),
        ("@2020 = @2020-01", []),
        ("@2020 ~ @2020-01", [False]),
        ("@2020-01 > @2019", [True]),
        ("@2020-01 > @2020", []),
        ("@2020-01-01T10:00Z = @2020-01-01T11:00+01:00", [True]),
        ("@2020-01-01T10:00:00.0Z = @2020-01-01T10:00:00Z", [True]),
        ("@T10:00 < @T10:30", [True]),
        ("@2020-02-29 + 1 year = @2021-02-28", [True]),
        ("@2020-01-31 + 1 month = @2020-02-29", [True]),
        ("@2020-12-31 + 1 day = @2021-01-01", [True]),
        ("@2020 + 18 months = @2021", [True]),
        ("@T23:30 + 1 hour = @T00:30", [True]),
        ("1 year = 12 months", [True]),
        ("1 year = 1 'a'", []),
        ("1 year ~ 1 'a'", [True]),
        ("60 seconds = 1 'min'", [True]),
        ("1 'mg' = 1.0 'mg'", [True]),
        ("7 days + 1 day = 8 days", [True]),
        ("0.1 + 0.2 = 0.3", [True]),
        ("1 / 0", []),
        ("7 div 2", [3]),
        ("-7 div 2", [-3]),
        ("-7 mod 2", [-1]),
        ("2147483647 + 1", []),
        ("1.5.round(0) = 2", [True]),
        ("'a' & {} & 'b'", ["ab"]),
        ("'a' + {}", []),
        ("1 = true", [False]),
        ("1.0 = 1", [True]),
        ("'A b' ~ 'a\tB'", [True]),
        ("(1 | 2 | 1).count()", [2]),
        ("(1 | 2) ~ (2 | 1)", [True]),
        ("(1 | 2) = (2 | 1)", [False]),
        ("{} = {}", []),
        ("{} ~ {}", [True]),
        ("1 in {}", [False]),
        ("{} in 1", []),
        ("(1 | 2 | 3).aggregate($total + $this, 0)", [6]),
        ("(3 | 4 | 5).where($index > 0)", [4, 5]),
        ("iif({}, 1, 2)", [2]),
        ("'abc'.substring(1, 1)", ["b"]),
        ("'abc'.substring(3)", []),
        ("'2020-13'.convertsToDate()", [False]),
        ("'1 day'.toQuantity() = 24 hours", [True]),
        ("%ucum", ["http://unitsofmeasure.org"]),
        ("%`vs-administrative-gender`", ["http://hl7.org/fhir/ValueSet/administrative-gender"]),
        ('%"ext-patient-birthTime"', ["http://hl7.org/fhir/StructureDefinition/patient-birthTime"]),
    ],
)
def test_values(expression: str, expected: list[Any]) -> None:
    assert evaluate(expression, {}) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Patient.name.family", ["Lovelace"]),
        ("Resource.id", ["p1"]),
        ("Observation.id", []),
        ("name.given", ["Ada", "Ada"]),
        ("name.given.count()", [3]),
        ("name.given[1].hasValue()", [False]),
        ("name.given[1].id", ["g2"]),
        ("name.given.distinct().count()", [2]),
        ("name.family.count()", [2]),
        ("name.family.extension('http://x').value", ["unknown"]),
        ("name.family.extension.where(url = 'http://x').value is code", [True]),
        ("name[0].family.getValue()", ["Lovelace"]),
        ("multipleBirth", [2]),
        ("multipleBirth is integer", [True]),
        ("multipleBirth is boolean", [False]),
        ("multipleBirth.ofType(boolean)", []),
        ("name.where(use = 'usual').given", ["Ada"]),
        ("birthDate < @1900", [True]),
        ("birthDate.type().name", ["date"]),
        ("contact is BackboneElement", [True]),
        ("contained.gender", ["female"]),
        ("contained is Practitioner", [True]),
        ("generalPractitioner.resolve().gender", ["female"]),
        ("descendants().where($this is HumanName).family", ["Lovelace", "King"]),
        ("repeat(contained).id", ["gp"]),
        ("children().ofType(HumanName).count()", [2]),
        ("%resource.id = %context.id", [True]),
        ("name.select(given.first() & use)", ["Adaofficial", "Adausual"]),
        ("name.all(given.exists())", [True]),
        ("name.exists(use = 'old')", [False]),
        ("active.not()", [False]),
    ],
)
def test_navigation(expression: str, expected: list[Any]) -> None:
    assert evaluate(expression, PATIENT) == expected


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("name.family.single()", "single item"),
        ("name as HumanName", "single item"),
        ("1 + 'a'", "int \\+ str is not defined"),
        ("1 < 'a'", "cannot compare"),
        ("@2020 > @T10", "cannot compare Date with Time"),
        ("@2020-01-01 + 1 'a'", "cannot add"),
        ("%unknown", "%unknown is not defined"),
        ("nothing()", "there is no function nothing"),
        ("'a'.matches('(')", "not a regular expression"),
        ("'zz'.decode('hex')", "not hex"),
        ("name is Nonsense", "there is no type 'Nonsense'"),
        ("@9999-12-31 + 1 day", "years 1 to 9999"),
        ("'a'.memberOf('http://x')", "needs a terminology"),
        ("'a'.subsumes('b')", "needs? a terminology"),
        ("%resource.conformsTo('http://x')", "needs profiles"),
    ],
)
def test_errors_say_what_is_wrong(expression: str, message: str) -> None:
    with pytest.raises(FHIRPathError, match=message):
        evaluate(expression, PATIENT)


def test_units_convert_exactly_and_unknown_ones_leave_it_open() -> None:
    assert evaluate("1000 'g' = 1 'kg'", {}) == [True]
    assert evaluate("1 '[lb_av]' = 0.45359237 'kg'", {}) == [True]
    assert evaluate("1 'g' = 1 'm'", {}) == []
    assert evaluate("1 'nonsense' = 1 'kg'", {}) == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("5 'm' * 4 'kg'", "20 'm.kg'"),
        ("5 'm/s' * 4 'kg/m'", "20 'm/s.kg/m'"),
        ("10 'm' / 4 's.A'", "2.5 'm/(s.A)'"),
        ("10 'm' * 50 '%'", "5.0 'm'"),
        ("6 'm' / 3 'cm'", "200 '1'"),
        ("1 '/s' * 2 'm'", "2 '/s.m'"),
        ("2 'm' * 3 '/s'", "6 'm/s'"),
        ("1 'm' + 1 'cm'", "101 'cm'"),
    ],
)
def test_products_sums_and_quotients_have_units(expression: str, expected: str) -> None:
    assert [str(value) for value in evaluate(expression, {})] == [expected]


@pytest.mark.parametrize(
    "expression",
    ["10 'Cel' + 1 'Cel'", "10 'Cel' * 2", "2 * 10 'dB'", "20 'Cel' / 10 'Cel'", "1 'm' + 1 's'", "1 'm' / 0 's'"],
)
def test_units_on_a_scale_of_their_own_have_no_arithmetic(expression: str) -> None:
    assert evaluate(expression, {}) == []


def test_long_products_of_units_are_told_in_base_units() -> None:
    longest = " * ".join(["1 'm[Hg]'"] * 30)
    (found,) = evaluate(f"{longest} = 1 'm[Hg]' * ({' * '.join(['1 ' + repr('m[Hg]')] * 29)})", {})
    assert found is True
    (product,) = evaluate(longest, {})
    assert product.unit.startswith("g17.m-17.s-34.m[Hg].m[Hg]")


def test_a_quantity_of_a_resource_is_compared_in_its_ucum_unit() -> None:
    quantity = {"value": Decimal("2"), "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"}
    observation = {"resourceType": "Observation", "valueQuantity": quantity}
    assert evaluate("value = 2 'a'", observation) == [True]
    assert evaluate("value > 23 months", observation) == [True]
    assert evaluate("value.unit", observation) == ["years"]
    assert evaluate("value.toQuantity()", {**observation, "valueQuantity": quantity | {"system": "http://x"}}) == []


def test_environment_resolver_and_context_come_from_the_caller() -> None:
    found = {"Organization/1": {"resourceType": "Organization", "name": "Acme"}}
    assert one("managingOrganization.resolve().name", resolve=found.get) == "Acme"
    assert evaluate("generalPractitioner[1].resolve()", PATIENT, resolve=found.get) == []
    assert one("%limit + 1", environment={"limit": 41}) == 42
    assert one("%codes.count()", environment={"codes": ["a", "b"]}) == 2
    contact = PATIENT["contact"]
    assert one("name.family", context=contact, context_type="Patient.contact") == "King"
    assert one("name is HumanName", context=contact, context_type="Patient.contact") is True
    assert one("%resource.id", context=contact, context_type="Patient.contact") == "p1"


def test_hooks_are_asked_for_what_the_language_cannot_know() -> None:
    traced: list[tuple[str, list[Any]]] = []
    hooks = Hooks(
        member_of=lambda coded, url: (coded, url) == ("male", "http://vs"),
        subsumes=lambda general, specific: specific.startswith(general),
        conforms_to=lambda resource, profile: resource["resourceType"] in profile,
        trace=lambda name, values: traced.append((name, values)),
    )
    assert one("'male'.memberOf('http://vs')", hooks=hooks) is True
    assert one("'A'.subsumes('A.1')", hooks=hooks) is True
    assert one("'A'.subsumedBy('A.1')", hooks=hooks) is False
    assert one("%resource.conformsTo('http://x/Patient')", hooks=hooks) is True
    assert one("name.family.trace('names').count()", hooks=hooks) == 2
    assert one("id.trace('id', length())", hooks=hooks) == "p1"
    assert traced == [("names", ["Lovelace", None]), ("id", [2])]


def test_as_may_pick_from_several_items_when_asked_to() -> None:
    assert evaluate("descendants().as(HumanName).family", PATIENT, as_filters=True) == ["Lovelace", "King"]
    with pytest.raises(FHIRPathError, match="as\\(\\) must be a single item"):
        evaluate("descendants().as(HumanName)", PATIENT)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ('<div xmlns="http://www.w3.org/1999/xhtml"><p>Fine&nbsp;&amp; <b>bold</b></p></div>', True),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><img src="#x"/></div>', True),
        ('<div xmlns="http://www.w3.org/1999/xhtml"> </div>', False),
        ("<div>no namespace</div>", False),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>', False),
        ('<div xmlns="http://www.w3.org/1999/xhtml" onclick="x()">x</div>', False),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><a href=" JavaScript:x()">x</a></div>', False),
        ('<!DOCTYPE x [<!ENTITY a "b">]><div xmlns="http://www.w3.org/1999/xhtml">x</div>', False),
        ('<div xmlns="http://www.w3.org/1999/xhtml">open', False),
    ],
)
def test_narrative_must_be_safe_xhtml(text: str, safe: bool) -> None:
    assert evaluate("text.`div`.htmlChecks()", {"resourceType": "Patient", "text": {"div": text}}) == [safe]


def test_what_never_changes_is_evaluated_once_and_still_right() -> None:
    asked: list[str] = []
    hooks = Hooks(member_of=lambda coded, _url: not asked.append(coded))
    assert evaluate("name.given.where(%resource.id.memberOf('http://x')).count()", PATIENT, hooks=hooks) == [3]
    assert asked == ["p1"]
    assert evaluate("name.where(%resource.name[0].use = use).family", PATIENT) == ["Lovelace"]
    assert evaluate(
        "name.where(%resource.name.where(use = 'usual').given contains given.first()).count()", PATIENT
    ) == [2]
    assert evaluate("name.select(%resource.name[$index].use)", PATIENT) == ["official", "usual"]
    assert evaluate("(1 | 2).aggregate($total + %resource.name.select($index).count())", PATIENT) == []
    assert evaluate("(1 | 2).aggregate(%resource.name.select($total + $index).count() + $total, 1)", PATIENT) == [5]


def test_literals_that_python_holds_equal_stay_apart() -> None:
    assert evaluate("true", {}) == [True]
    assert [type(evaluate(literal, {})[0]) for literal in ("true", "1", "1.0")] == [bool, int, Decimal]


@given(st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1)), st.integers(0, 10**9))  # noqa: DTZ001
def test_adding_and_taking_away_seconds_is_the_identity(moment: datetime, seconds: int) -> None:
    start = Temporal.from_text(moment.isoformat(timespec="seconds") + "Z")
    found = one(f"%start + {seconds} seconds - {seconds} seconds", environment={"start": start})
    assert found.compare(start) == 0
    assert str(Temporal.from_text(str(start))) == str(start)


NAMES = st.sampled_from(["name", "given", "_given", "extension", "url", "value", "resourceType", "contained"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
@pytest.mark.parametrize(
    "expression",
    [
        "name.given",
        "descendants().count()",
        "name.where(given = 'x') | contained.name",
        "name ~ contained",
        "name.distinct()",
    ],
)
def test_malformed_resources_raise_nothing_unexpected(expression: str, value: Any) -> None:
    resource = {"resourceType": "Patient", "name": value, "contained": [value]}
    with contextlib.suppress(FHIRPathError):
        assert isinstance(evaluate(expression, resource), list)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("defineVariable('n', 1 + 1).select(%n * 2)", [4]),
        ("(1 | 2).select(defineVariable('x').select(%x + 1))", [2, 3]),
        ("(1 | 2).where(defineVariable('x', $this * 2).select(%x = 4))", [2]),
        ("(5 | 6).defineVariable('all')[1].select(%all.count())", [2]),
        ("defineVariable('a', 1).select((defineVariable('b', 2).select(%b)) | %a)", [2, 1]),
    ],
)
def test_variables_are_known_to_what_follows(expression: str, expected: list[int]) -> None:
    assert evaluate(expression, {}) == expected


@pytest.mark.parametrize(
    "expression",
    [
        "defineVariable('a', 1) | %a",
        "(1 | 2).select(defineVariable('x')).select(%x)",
        "defineVariable('a', 1).defineVariable('a', 2)",
        "defineVariable('context', 1)",
        "defineVariable('vs-x', 1)",
        "defineVariable({}, 1)",
    ],
)
def test_variables_are_confined_and_defined_once(expression: str) -> None:
    with pytest.raises(FHIRPathError, match=r"not defined|defined already|needs a name"):
        evaluate(expression, {})


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'" + "a" * 40 + "b'.matches('^(a|aa)+$')", "takes too long"),
        ("'" + "a" * 40 + "b'.matchesFull('(a|aa)+')", "takes too long"),
        ("'" + "a" * 40 + "b'.replaceMatches('^(a|aa)+$', '')", "takes too long"),
        ("'a'.matches('" + "a" * 2001 + "')", "at most 2000 characters"),
        ("'a'.matches('" + "(" * 900 + ")" * 900 + "')", "not a regular expression"),
        ("'x'" + ".select($this.combine($this))" * 40, "1,000,000 steps"),
        ("'x'" + ".select($this & $this)" * 40, "10,000,000 characters"),
        ("'x'" + ".replace('', 'xxxxxxxxx')" * 40, "10,000,000 characters"),
        ("'x'" + ".replaceMatches('.', '$0$0$0$0$0$0$0$0')" * 40, "takes too long|too long"),
        ("'x'" + ".select($this + $this)" * 40, "10,000,000 characters"),
    ],
)
def test_time_and_memory_of_an_evaluation_are_bounded(expression: str, message: str) -> None:
    with pytest.raises(FHIRPathError, match=message):
        evaluate(expression, {})


def test_many_slow_searches_share_their_time() -> None:
    words = " | ".join(f"'{'a' * 40}{i}'" for i in range(20))
    with pytest.raises(FHIRPathError, match="takes too long"):
        evaluate(f"({words}).select(iif($this.matches('^(a|aa)+$'), 1, 2))", {})


def test_extensions_tell_primitives_apart() -> None:
    def patient(*extras: Any) -> dict[str, Any]:
        return {"resourceType": "Patient", "name": [{"given": ["A", "A"], "_given": list(extras)}]}

    extended = {"extension": [{"url": "http://x", "valueString": "y"}]}
    equal, distinct = "name.given[0] = name.given[1]", "name.given.distinct().count()"
    assert evaluate(equal, patient(extended, dict(extended))) == [True]
    assert evaluate(equal, patient(extended, None)) == [False]
    assert evaluate(distinct, patient(extended, None)) == [2]
    assert evaluate(distinct, patient(extended, dict(extended))) == [1]
    assert evaluate("name.given[0] = 'A'", patient(extended, None)) == [True]


def test_unknown_modifier_extensions_are_an_error() -> None:
    patient = {"resourceType": "Patient", "modifierExtension": [{"url": "http://x"}, {"url": "http://y"}]}
    assert evaluate("checkModifiers('http://x', 'http://y').modifierExtension.count()", patient) == [2]
    assert evaluate("checkModifiers().id", {"resourceType": "Patient", "id": "1"}) == ["1"]
    with pytest.raises(FHIRPathError, match="'http://y'"):
        evaluate("checkModifiers('http://x')", patient)
