"""What searches ask of terminology, https://hl7.org/fhir/R4/search.html#token (``:in``, ``:not-in``, ``:above``, ``:below``).

Binding needs no database, so it goes in two steps: the first notes the questions, the second has the answers. They come
from the ValueSets and CodeSystems that the tenant has stored and, after them, from those of the specification. They are
the server's own knowledge: answering takes no grant on these resources, as what a search finds is limited anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from conformance.expansion import MOST_CODES, MissingResource, Pair, UnexpandableError, expand, related
from conformance.terminology.official import find_official
from fhir_server.search.environment import Asked, Environment
from fhir_server.search.reference import local
from fhir_server.search.registry import standard
from fhir_server.search.session import Session
from fhir_server.search.slot import slot
from fhir_server.store.canonical import find_by_id, find_carrying

Json = dict[str, Any]
T = TypeVar("T")
# A value set that refers to more others than this is a mistake.
_MOST_FETCHED = 200


class Questions(dict[Asked, frozenset[Pair] | str]):
    """Stands in for answers: every question is noted in ``asked`` and answered by no codes."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[Asked, None] = {}

    def get(self, question: Asked, default: Any = None) -> Any:  # noqa: ARG002 - as in dict
        """Note a question."""
        self.asked[question] = None
        return frozenset()


async def bind_with_terms(session: Session, environment: Environment, bind: Callable[[Environment], T]) -> T:
    """Return what ``bind`` makes of an environment that has the answers to what binding asks of terminology."""
    questions = Questions()
    bound = bind(replace(environment, terms=questions))
    if not questions.asked:
        return bound
    return bind(replace(environment, terms=await answer(session, environment, questions.asked)))


async def answer(
    session: Session, environment: Environment, questions: Iterable[Asked]
) -> dict[Asked, frozenset[Pair] | str]:
    """Return the codes that each question stands for, or the reason why there are none."""
    library = _Library(session, environment)
    return {question: await library.answer(question) for question in questions}


class _Library:
    """The ValueSets and CodeSystems fetched so far, by type and canonical URL; None for those that don't exist."""

    def __init__(self, session: Session, environment: Environment) -> None:
        self._session = session
        self._environment = environment
        self._fetched: dict[tuple[str, str], Json | None] = {}

    async def answer(self, question: Asked) -> frozenset[Pair] | str:
        while True:
            try:
                return self._codes(*question)
            except MissingResource as missing:
                if len(self._fetched) >= _MOST_FETCHED:
                    return f"it takes more than {_MOST_FETCHED} value sets and code systems"
                place = missing.resource_type, missing.canonical
                self._fetched[place] = await self._fetch(*place)
            except UnexpandableError as reason:
                return str(reason)

    def _codes(self, modifier: str, value: str) -> frozenset[Pair]:
        if modifier == "in":
            value_set = self._find("ValueSet", value)
            if value_set is None:
                raise UnexpandableError(f"the value set {value} is not known here")
            return expand(value_set, self._find)
        system, bar, code = value.partition("|")
        if not bar or not system or not code:
            raise UnexpandableError(f"':{modifier}' takes a code with its system, system|code")
        code_system = self._find("CodeSystem", system)
        if code_system is None:
            raise UnexpandableError(f"the code system {system} is not known here")
        codes = related(code_system, code, above=modifier == "above")
        if len(codes) > MOST_CODES:
            raise UnexpandableError(f"there are {len(codes)} codes below; {MOST_CODES} are the most")
        return frozenset((system, found) for found in codes)

    def _find(self, resource_type: str, canonical: str) -> Json | None:
        place = resource_type, canonical
        if place not in self._fetched:
            raise MissingResource(resource_type, canonical)
        return self._fetched[place]

    async def _fetch(self, resource_type: str, canonical: str) -> Json | None:
        """Return the tenant's resource with a canonical URL, the specification's if there is none, or None.

        Without a version, of several stored ones the newest that isn't retired counts.
        """
        environment = self._environment
        own = local(canonical.removeprefix(f"{environment.base_url}/") if environment.base_url else canonical)
        if own is not None:
            kind, _, id_ = own.partition("/")
            found = await find_by_id(self._session, environment.tenant, kind, id_) if kind == resource_type else None
            return msgspec.json.decode(found) if found is not None else None
        url, _, version = canonical.partition("|")
        token = slot(environment.tenant, standard().of(resource_type)["url"]).token(url)
        contents = await find_carrying(self._session, environment.tenant, resource_type, token)
        stored: list[Json] = [msgspec.json.decode(content) for content in contents]
        fitting = [r for r in stored if r.get("url") == url and (not version or r.get("version") == version)]
        if fitting:
            return next((r for r in fitting if r.get("status") != "retired"), fitting[0])
        # Reading the specification's takes a moment the first time, in which others shall not wait.
        return await asyncio.to_thread(find_official, resource_type, canonical)
