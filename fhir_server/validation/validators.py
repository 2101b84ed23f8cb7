"""Validators of the tenants' definitions, https://hl7.org/fhir/R4/validation.html.

A validator keeps what it compiled, so it lives as long as its tenant's definitions stay the same: another generation of
them, wherever it was written, means another validator. It asks for definitions as they come up; one that lies in the database
ends the attempt, is fetched, and the attempt goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from typing import TypeVar

from conformance.issues import Issue
from conformance.terminology.errors import MissingResource
from conformance.validation import Validator
from fhir_server.search.definitions import Definitions, Find, Json, Library, Place
from fhir_server.search.session import Session
from fhir_server.store.packages import COUNTED_TYPES

T = TypeVar("T")
Lend = Callable[[], AbstractAsyncContextManager[Session]]
"""Lends a connection, if a definition has to be fetched."""

INLINE_BYTES = 200_000
"""What is validated on the event loop, at some 70 µs a kilobyte; more goes to a thread, so that other requests go on."""
_MOST_ASKED = 20_000
"""So many canonical URLs, then a validator starts anew: resources may name what they like, and what is known of it is kept."""
_MOST_TENANTS = 100


class LibraryValidator:
    """A validator of one library, and what it had to fetch from the database."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._reset()

    def _reset(self) -> None:
        self._asked = 0
        self._fetched: dict[Place, Json | None] = {}
        self._validator = Validator(self._find)
        self._compiled: set[str] = set()

    def _find(self, resource_type: str, canonical: str) -> Json | None:
        self._asked += 1
        place = resource_type, canonical
        return self._fetched[place] if place in self._fetched else self.library.find(resource_type, canonical)

    async def validate(
        self, contents: Sequence[Json], size: int, lend: Lend, profiles: Sequence[str] = ()
    ) -> list[list[Issue]]:
        """Return the issues of each of some resources of sound structure; ``size`` is that of them all, in bytes."""
        found: list[list[Issue]] = []

        def judge(validator: Validator) -> None:
            for content in contents[len(found) :]:
                issues = validator.validate_content(content, profiles=profiles)
                found.append(issues)

        wanted = {name for content in contents for name in _needs(content)}.union(profiles)
        inline = size <= INLINE_BYTES and wanted <= self._compiled
        await self._settle(judge, lend, inline=inline)
        self._compiled |= wanted
        return found

    async def validate_text(self, source: bytes, lend: Lend, profiles: Sequence[str] = ()) -> list[Issue]:
        """Return all issues of a text in JSON or XML, structure included, with lines and columns."""

        def judge(validator: Validator) -> list[Issue]:
            return validator.validate_text(source, profiles=profiles)

        return await self._settle(judge, lend, inline=False)

    async def _settle(self, ask: Callable[[Validator], T], lend: Lend, *, inline: bool) -> T:
        """Return what ``ask`` gives once all definitions are there that it needs."""
        if self._asked >= _MOST_ASKED:
            self._reset()
        validator, fetched = self._validator, self._fetched
        while True:
            try:
                return ask(validator) if inline else await asyncio.to_thread(ask, validator)
            except MissingResource as missing:
                place = missing.resource_type, missing.canonical
            async with lend() as session:
                fetched[place] = await self.library.settle(session, partial(_look_up, place))


def _look_up(place: Place, find: Find) -> Json | None:
    return find(*place)


def _needs(content: Json) -> Iterable[str]:
    """Return what has to be compiled for a resource: its type, the profiles it claims; definitions take long each time."""
    resource_type = content["resourceType"]
    yield f"a {resource_type}" if resource_type in COUNTED_TYPES else resource_type
    for canonical in content.get("meta", {}).get("profile", ()):
        if canonical is not None:
            yield canonical


@cache
def built_in_validator() -> LibraryValidator:
    """Return the validator of whoever has no definitions of their own."""
    return LibraryValidator(Library(0, 0))


class Validators:
    """The validators of all tenants."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._known: dict[int, LibraryValidator] = {}

    def of(self, tenant: int) -> LibraryValidator:
        """Return a tenant's validator: the same object until its definitions change."""
        library = self._definitions.library(tenant)
        if library.generation == 0:
            return built_in_validator()
        known = self._known.get(tenant)
        if known is None or known.library is not library:
            if len(self._known) >= _MOST_TENANTS:
                self._known.clear()
            known = self._known[tenant] = LibraryValidator(library)
        return known
