"""What searches ask of terminology, https://hl7.org/fhir/R4/search.html#token (``:in``, ``:not-in``, ``:above``, ``:below``).

Binding needs no database, so it goes in two steps: the first notes the questions, the second has the answers. They come
from what the operations of terminology go by too, see :mod:`fhir_server.search.terminology`: answering takes no grant on
ValueSets and CodeSystems, as what a search finds is limited anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, TypeVar

from conformance.terminology.errors import TerminologyError, invalid, unknown_code_system, unsupported
from conformance.terminology.listing import Pair, list_codes, list_related
from fhir_server.search.environment import Asked, Environment
from fhir_server.search.session import Session
from fhir_server.search.terminology import Known, TenantTerminologies

Answers = dict[Asked, frozenset[Pair] | str]
T = TypeVar("T")


class Questions(dict[Asked, frozenset[Pair] | str]):
    """Stands in for answers: every question is noted in ``asked`` and answered by no codes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[Asked, None] = {}

    def get(self, question: Asked, default: Any = None) -> Any:  # noqa: ARG002 - as in dict
        """Note a question."""
        self.asked[question] = None
        return frozenset()


async def bind_with_terms(
    session: Session,
    environment: Environment,
    bind: Callable[[Environment], T],
    terminologies: TenantTerminologies | None,
) -> T:
    """Return what ``bind`` makes of an environment that has the answers to what binding asks of terminology."""
    questions = Questions()
    bound = bind(replace(environment, terms=questions))
    if not questions.asked:
        return bound
    return bind(replace(environment, terms=await answer(session, environment, questions.asked, terminologies)))


async def answer(
    session: Session, environment: Environment, questions: Iterable[Asked], terminologies: TenantTerminologies | None
) -> Answers:
    """Return the codes that each question stands for, or the reason why there are none.

    In a transaction, and without ``terminologies``, nothing of what was read is kept.
    """

    def ask(known: Known) -> Answers:
        return {question: _answer(known, environment.base_url, *question) for question in questions}

    try:
        if terminologies is None:
            return await TenantTerminologies(None, None).ask_within(session, environment.tenant, ask)
        if session.in_transaction:
            return await terminologies.ask_within(session, environment.tenant, ask)
        return await terminologies.ask(environment.tenant, lambda: nullcontext(session), ask)
    except TerminologyError as too_many:
        return dict.fromkeys(questions, str(too_many))


def _answer(known: Known, base_url: str, modifier: str, value: str) -> frozenset[Pair] | str:
    try:
        return _codes(known, base_url, modifier, value)
    except TerminologyError as reason:
        return str(reason)


def _codes(known: Known, base_url: str, modifier: str, value: str) -> frozenset[Pair]:
    if modifier == "in":
        return list_codes(known.scope.value_set(value.removeprefix(f"{base_url}/") if base_url else value))
    system, bar, code = value.partition("|")
    if not bar or not system or not code:
        raise invalid(f"':{modifier}' takes a code with its system, system|code")
    code_system = known.scope.code_system(system, None)
    if code_system is None:
        raise unsupported(unknown_code_system(system, None, (), "its hierarchy isn't known"))
    return frozenset((system, found) for found in list_related(code_system, code, above=modifier == "above"))
