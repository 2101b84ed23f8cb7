"""docs/reference/search.md says what the server does: each cell of its tables is an example that is run here."""

from __future__ import annotations

import pytest

from conformance.definitions import resource_types
from fhir_server.search.comparison import PREFIXES
from fhir_server.search.filter.expression import OPERATORS
from fhir_server.search.kinds import KINDS
from tests.search.reference import parameters, types
from tests.search.reference.example import Example, Outcome, Server, distinguishes
from tests.search.reference.page import BEGIN, END, PAGE, examples, insert, render
from tests.search.reference.run import outcomes
from tests.server import RunningServer

EXAMPLES = examples()


@pytest.fixture(scope="module")
def found(server: RunningServer) -> list[Outcome]:
    with server.client() as client:
        return outcomes(client)


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=lambda n: f"{EXAMPLES[n].row}-{EXAMPLES[n].column}-{n}")
def test_the_server_does_what_the_example_says(found: list[Outcome], number: int) -> None:
    assert not found[number].fault, found[number].example.query


def test_the_page_is_what_the_server_does(found: list[Outcome]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(BEGIN) == page.count(END) == 1
    assert page == insert(page, render(found)), "run python -m tests.search.reference --write"


def test_what_is_refused_says_why(found: list[Outcome]) -> None:
    refused = [outcome for outcome in found if outcome.refusal is not None]
    assert {o.sign for o in refused} == {"-", "✗"}
    assert all(o.refusal for o in refused)
    for outcome in refused:
        if outcome.example.column in types.MODIFIERS:
            name = outcome.example.query.partition("=")[0]
            assert f"':{name.rpartition(':')[2]}'" in str(outcome.refusal)


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.found and e.shows == "true"], ids=lambda e: e.query)
def test_an_example_has_something_to_find_and_something_to_leave_out(example: Example) -> None:
    assert distinguishes(example) or "_sort=" in example.query


def test_every_type_has_every_modifier_and_prefix() -> None:
    cells = [(e.row, e.column) for e in EXAMPLES if e.row in KINDS and e.column != types.PLAIN]
    assert len(cells) == len(set(cells))
    assert set(cells) == {(name, column) for name in KINDS for column in (*types.MODIFIERS, *types.PREFIXES)}
    assert set(types.PREFIXES) == PREFIXES
    defined = {(name, modifier) for modifier, names in types.R4_MODIFIERS.items() for name in names}
    assert defined == {(e.row, e.column) for e in types.modifiers() if e.found and not e.beyond}


@pytest.mark.parametrize("name", KINDS)
def test_the_modifiers_that_the_code_knows_are_those_that_work(found: list[Outcome], name: str) -> None:
    known = {m for m in KINDS[name].modifiers if m not in resource_types()} - {"ofType"}
    known |= {"type"} if KINDS[name].modifiers & set(resource_types()) else set()
    works = {o.example.column for o in found if o.example.row == name and o.refusal is None}
    assert known | {"missing"} == works & set(types.MODIFIERS)


def test_every_parameter_of_the_r4_page_has_an_example() -> None:
    columns = {e.column.partition("=")[0].partition(" ")[0].rstrip(",") for e in EXAMPLES}
    assert columns >= {*parameters.R4_FOR_ALL_TYPES, *parameters.R4_RESULTS}
    assert {e.column for e in parameters.filters()} >= set(OPERATORS)


@pytest.mark.usefixtures("found")
def test_another_answer_than_the_example_says_is_a_fault(server: RunningServer) -> None:
    with server.client() as client:
        run = Server(client, {}).run
        assert run(Example("date", "gt", "Procedure?date=gt2016", "d-span")).fault
        assert run(Example("date", "gt", "Procedure?date=gt2016")).fault
        assert run(Example("result", "_count", "Medication?_count=0", "", "Bundle.total = 1")).fault
        refused = run(Example("date", "exact", "Procedure?date:exact=2016", "d-in"))
    assert (refused.sign, refused.fault) == ("✗", "")
