"""Validation of codes against code systems and value sets, and what a validator asks."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.terminology.coding_check import ValidateCodeParameters
from conformance.terminology.errors import TerminologyError
from conformance.terminology.membership import Membership
from conformance.terminology.source import Resources
from conformance.terminology.versions import VersionRules
from tests.conformance.terminology.animals import (
    ALL,
    ANIMALS,
    CODE_SYSTEM,
    SETS,
    Json,
    chosen,
    parameter,
    terminology,
    value_set,
)

PETS = value_set("pets", chosen("pet", "=", "true"))
LOOSE = CODE_SYSTEM | {"url": "http://example.org/loose", "caseSensitive": False}
FRAGMENT = CODE_SYSTEM | {"url": "http://example.org/fragment", "content": "fragment"}


def ask(**asked: Any) -> Json:
    return terminology(PETS, LOOSE, FRAGMENT).validate_code(ValidateCodeParameters(**asked))


def problems(answer: Json) -> list[tuple[str, str]]:
    """Return (tx-issue-type, expression) of the issues of an answer."""
    outcome = parameter(answer, "issues") or {"issue": []}
    return [(i["details"]["coding"][0]["code"], i.get("expression", [""])[0]) for i in outcome["issue"]]


def test_every_form_of_input() -> None:
    coding = {"system": ANIMALS, "code": "dog"}
    for form in (
        {"code": "dog", "system": ANIMALS},
        {"coding": coding},
        {"codeable_concept": {"coding": [{"code": "x"}, coding]}},
    ):
        for place in ({"url": f"{SETS}/pets"}, {"value_set": PETS}):
            answer = ask(**form, **place)
            assert parameter(answer, "display") == "Dog"
            assert (parameter(answer, "code"), parameter(answer, "version")) == ("dog", "1.0.0")
            # A coding without a system is worth a warning beside a good one.
            assert parameter(answer, "result") is True


def test_what_is_not_in_the_value_set_or_not_a_code() -> None:
    assert problems(ask(url=f"{SETS}/pets", code="owl", system=ANIMALS)) == [("not-in-vs", "code")]
    assert problems(ask(url=f"{SETS}/pets", code="elf", system=ANIMALS)) == [
        ("not-in-vs", "code"),
        ("invalid-code", "code"),
    ]
    answer = ask(url=f"{SETS}/pets", codeable_concept={"coding": [{"system": ANIMALS, "code": "owl"}]})
    assert parameter(answer, "result") is False
    assert ("not-in-vs", "") in problems(answer)
    assert parameter(ask(url=f"{SETS}/pets", codeable_concept={"text": "a dog"}), "result") is False


def test_a_system_can_be_inferred_where_there_is_only_one_that_has_the_code() -> None:
    assert parameter(ask(url=f"{SETS}/pets", code="dog", infer_system=True), "system") == ANIMALS
    twice = value_set("x", {"system": ANIMALS}, {"system": LOOSE["url"]})
    assert parameter(ask(value_set=twice, code="dog", infer_system=True), "result") is False
    assert "cannot-infer" in dict(problems(ask(url=f"{SETS}/pets", code="elf", infer_system=True)))


def test_a_stored_expansion_decides_where_the_compose_can_not_be_followed() -> None:
    contains = [{"system": "http://else.org", "code": "a", "display": "A"}]
    for include in (
        {"system": "http://else.org", "filter": [{"property": "concept", "op": "is-a", "value": "x"}]},
        {"system": "http://else.org"},
        {"valueSet": ["http://else.org/vs"]},
    ):
        resource = value_set("x", include, expansion={"contains": contains})
        good = ask(value_set=resource, code="a", system="http://else.org")
        assert (parameter(good, "result"), parameter(good, "display")) == (True, "A")
        assert parameter(ask(value_set=resource, code="b", system="http://else.org"), "result") is False
        unknown = ask(value_set=value_set("x", include), code="a", system="http://else.org")
        assert parameter(unknown, "result") is False


def test_exactly_one_code_and_a_value_set_are_due() -> None:
    for wrong in (
        {"url": f"{SETS}/pets"},
        {"url": f"{SETS}/pets", "code": "dog", "coding": {"code": "dog"}},
        {"code": "dog", "system": ANIMALS},
        {"url": f"{SETS}/pets", "code": "dog"},
    ):
        with pytest.raises(TerminologyError) as refused:
            ask(**wrong)
        assert refused.value.status == 400
    with pytest.raises(TerminologyError) as unknown:
        ask(url=f"{SETS}/nowhere", code="dog", system=ANIMALS)
    assert unknown.value.status == 404


def test_case_counts_unless_the_code_system_says_otherwise() -> None:
    everything = value_set("x", {"system": ANIMALS}, {"system": LOOSE["url"]})
    assert parameter(ask(value_set=everything, code="DOG", system=ANIMALS), "result") is False
    assert parameter(ask(value_set=everything, code="DOG", system=LOOSE["url"]), "result") is True
    answer = terminology(LOOSE).validate_code_in_system(ValidateCodeParameters(url=LOOSE["url"], code="DoG"))
    assert parameter(answer, "display") == "Dog"


def test_of_a_fragment_an_unknown_code_is_worth_a_warning_only() -> None:
    asked = ValidateCodeParameters(url=FRAGMENT["url"], code="unicorn")
    answer = terminology(FRAGMENT).validate_code_in_system(asked)
    assert parameter(answer, "result") is True
    assert parameter(answer, "issues")["issue"][0]["severity"] == "warning"


def test_abstract_codes_are_refused_where_the_caller_says_so() -> None:
    everything = value_set("x", {"system": ANIMALS})
    assert parameter(ask(value_set=everything, code="mammal", system=ANIMALS), "result") is True
    refused = ask(value_set=everything, code="mammal", system=ANIMALS, abstract=False)
    assert problems(refused) == [("code-rule", "code")]


def test_displays_count_in_the_language_asked_for() -> None:
    dog = {"url": f"{SETS}/pets", "code": "dog", "system": ANIMALS}
    for display, language, result in (
        ("Dog", None, True), ("DOG", None, True), ("Hund", None, True), ("Hound", None, False),
        ("Hund", "de", True), ("Dog", "de", False), ("Hund", "en", False), ("Chién", "fr", True),
        # Where there is nothing in a language, the display of the code system will do.
        ("Dog", "nl", True), ("Hund", "nl", False),
    ):  # fmt: skip
        answer = ask(**dog, display=display, display_language=language)
        assert parameter(answer, "result") is result, (display, language)
    assert parameter(ask(**dog, display="Hound", lenient_display=True), "result") is True
    assert parameter(ask(**dog, display_language="de"), "display") == "Hund"


def test_code_systems_given_inline_or_unknown() -> None:
    engine = terminology()
    inline = {"resourceType": "CodeSystem", "url": "http://own.org", "content": "complete", "concept": [{"code": "a"}]}
    good = engine.validate_code_in_system(ValidateCodeParameters(code_system=inline, code="a"))
    assert parameter(good, "result") is True
    unknown = engine.validate_code_in_system(ValidateCodeParameters(url="http://own.org", code="a"))
    assert parameter(unknown, "x-unknown-system") == "http://own.org"
    with pytest.raises(TerminologyError, match="takes the url"):
        engine.validate_code_in_system(ValidateCodeParameters(code="a"))
    with pytest.raises(TerminologyError, match=f"not of {ANIMALS}"):
        engine.validate_code_in_system(
            ValidateCodeParameters(url=ANIMALS, coding={"system": "http://own.org", "code": "a"})
        )


def test_the_newest_version_that_is_wanted_counts() -> None:
    newer = CODE_SYSTEM | {"version": "1.10.0", "concept": [{"code": "dog", "display": "Hound"}]}
    older = CODE_SYSTEM | {"version": "1.9.0", "concept": [{"code": "dog", "display": "Doggy"}]}
    engine = terminology(newer, older)
    everything = value_set("x", {"system": ANIMALS})
    for rules, display in (
        (VersionRules(), "Hound"),
        (VersionRules(default={ANIMALS: "1.9.0"}), "Doggy"),
        (VersionRules(force={ANIMALS: "1.0.x"}), "Dog"),
        (VersionRules(check={ANIMALS: "1.*"}), "Hound"),
    ):
        asked = ValidateCodeParameters(value_set=everything, code="dog", system=ANIMALS, rules=rules)
        assert parameter(engine.validate_code(asked), "display") == display


@pytest.mark.parametrize(
    ("system", "good", "bad"),
    [
        ("http://unitsofmeasure.org", ("mg/dL", "{tablet}", "10*3/uL"), ("mgg/dL", "")),
        ("urn:ietf:bcp:47", ("en", "de-CH", "zh-Hant-TW", "en-US-x-twain", "sl-rozaj"), ("e", "en_US", "english-", "")),
        (
            "urn:ietf:bcp:13",
            ("text/plain", "application/fhir+json", "text/plain; charset=utf-8"),
            ("text", "a/b/c", "text/"),
        ),
    ],
)
def test_grammars_tell_codes_by_rule(system: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    everything = value_set("x", {"system": system})
    assert all(parameter(ask(value_set=everything, code=code, system=system), "result") for code in good)
    assert not any(parameter(ask(value_set=everything, code=code, system=system), "result") for code in bad)


def test_currencies_are_known() -> None:
    everything = value_set("x", {"system": "urn:iso:std:iso:4217"})
    good = [
        parameter(ask(value_set=everything, code=code, system="urn:iso:std:iso:4217"), "inactive")
        for code in ("EUR", "DEM")
    ]
    assert good == [None, True]
    assert parameter(ask(value_set=everything, code="EURO", system="urn:iso:std:iso:4217"), "result") is False
    listed = Membership(Resources((everything,))).membership(f"{SETS}/x") or frozenset()
    assert {code for _, code in listed} > {"USD", "CHF", "XXX", "DEM"}
    assert all(len(code) == 3 and code.isupper() for _, code in listed)


def test_what_a_validator_asks() -> None:
    partly = value_set("partly", {"system": ANIMALS}, {"system": "http://else.org"})
    languages = value_set("languages", {"system": "urn:ietf:bcp:47"})
    known = Membership(Resources((CODE_SYSTEM, PETS, partly, languages)))
    assert known.membership(f"{SETS}/pets") == frozenset({(ANIMALS, "dog"), (ANIMALS, "cat")})
    assert known.membership(f"{SETS}/partly") is None
    assert known.membership(f"{SETS}/nowhere") is None
    for place, system, code, member in (
        ("pets", ANIMALS, "dog", True), ("pets", None, "dog", True), ("pets", ANIMALS, "owl", False), ("pets", "", "dog", False),
        ("partly", ANIMALS, "owl", True), ("partly", ANIMALS, "elf", False), ("partly", "http://else.org", "elf", None),
        ("partly", None, "elf", None), ("nowhere", ANIMALS, "dog", None),
        ("languages", "urn:ietf:bcp:47", "de", True), ("languages", None, "de", True), ("languages", None, "d", False),
    ):  # fmt: skip
        assert known.check(f"{SETS}/{place}", system, code).member is member, (place, system, code)
    assert known.check_in(PETS, ANIMALS, "cat").member is True
    assert known.check_in(PETS, ANIMALS, "owl").member is False
    assert known.check_in(value_set("x", {"valueSet": ["http://else.org/vs"]}), ANIMALS, "cat").member is None
    assert [known.check_coding(ANIMALS, code).member for code in ALL] == [True] * len(ALL)
    assert known.check_coding(ANIMALS, "elf").member is False
    assert known.check_coding(ANIMALS, "dog", "9").member is None
    assert known.check_coding("http://else.org", "a").member is None
    assert "Wrong Display Name" in known.check_coding(ANIMALS, "dog", display="Cat").message
    assert known.check_coding(ANIMALS, "dog", display="dog").message == ""
