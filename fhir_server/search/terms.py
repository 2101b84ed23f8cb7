"""What searches ask of terminology, https://hl7.org/fhir/R4/search.html#token (``:in``, ``:not-in``, ``:above``, ``:below``).

Binding needs no database, so it goes in two steps: the first notes the questions, the second has the answers. They come
from the ValueSets and CodeSystems that the tenant has stored or installed and, after them, from those of the
specification. They are the server's own knowledge: answering takes no grant on these resources, as what a search finds is
limited anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from conformance.terminology import shipped
from conformance.terminology.code_system import CodeSystem
from conformance.terminology.errors import MissingResource, TerminologyError, invalid, unknown_code_system, unsupported
from conformance.terminology.listing import Pair, list_codes, list_related
from conformance.terminology.memory import ResourceCodeSystem
from conformance.terminology.scope import Scope
from fhir_server.search.definitions import fetch_own
from fhir_server.search.environment import Asked, Environment
from fhir_server.search.reference import local
from fhir_server.search.session import Session
from fhir_server.store.canonical import find_by_id

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
    """The ValueSets and CodeSystems fetched so far, by type and canonical URL; None for those that the tenant hasn't.

    It is a source for the terminology engine: what the tenant hasn't, is looked up among what comes with the server.
    """

    def __init__(self, session: Session, environment: Environment) -> None:
        self._session = session
        self._environment = environment
        self._fetched: dict[tuple[str, str], Json | None] = {}
        self._systems: dict[str, CodeSystem] = {}

    async def answer(self, question: Asked) -> frozenset[Pair] | str:
        while True:
            try:
                # Reading what comes with the server takes a moment the first time, in which others shall not wait.
                return await asyncio.to_thread(self._codes, *question)
            except MissingResource as missing:
                if len(self._fetched) >= _MOST_FETCHED:
                    return f"it takes more than {_MOST_FETCHED} value sets and code systems"
                place = missing.resource_type, missing.canonical
                self._fetched[place] = await self._fetch(*place)
            except TerminologyError as reason:
                return str(reason)

    def _codes(self, modifier: str, value: str) -> frozenset[Pair]:
        scope = Scope(self)
        if modifier == "in":
            return list_codes(scope.value_set(value))
        system, bar, code = value.partition("|")
        if not bar or not system or not code:
            raise invalid(f"':{modifier}' takes a code with its system, system|code")
        code_system = scope.code_system(system, None)
        if code_system is None:
            raise unsupported(unknown_code_system(system, None, (), "its hierarchy isn't known"))
        return frozenset((system, found) for found in list_related(code_system, code, above=modifier == "above"))

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return a resource of the tenant, else one that comes with the server. Raises MissingResource."""
        return self._own(resource_type, canonical) or shipped.find(resource_type, canonical)

    def code_system(self, canonical: str) -> CodeSystem | None:
        """Return a code system of the tenant, else one that comes with the server. Raises MissingResource."""
        own = self._own("CodeSystem", canonical)
        if own is None:
            return shipped.code_system(canonical)
        if canonical not in self._systems:
            self._systems[canonical] = ResourceCodeSystem(own)
        return self._systems[canonical]

    def versions(self, url: str) -> Sequence[str]:
        """Return the versions of a code system. Raises MissingResource."""
        own = self._own("CodeSystem", url)
        return [*([] if own is None else [str(own.get("version", ""))]), *shipped.versions(url)]

    def _own(self, resource_type: str, canonical: str) -> Json | None:
        place = resource_type, canonical
        if place not in self._fetched:
            raise MissingResource(resource_type, canonical)
        return self._fetched[place]

    async def _fetch(self, resource_type: str, canonical: str) -> Json | None:
        """Return the tenant's resource with a canonical URL, perhaps relative to the server's address, or None."""
        environment = self._environment
        own = local(canonical.removeprefix(f"{environment.base_url}/") if environment.base_url else canonical)
        if own is not None:
            kind, _, id_ = own.partition("/")
            found = await find_by_id(self._session, environment.tenant, kind, id_) if kind == resource_type else None
            return msgspec.json.decode(found) if found is not None else None
        return await fetch_own(self._session, environment.tenant, resource_type, canonical)
