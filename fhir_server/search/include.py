"""``_include`` and ``_revinclude``, https://hl7.org/fhir/R4/search.html#include.

Round by round, each one statement: what the matches refer to or are referred to by, then (``:iterate``) the same of what
was found, until nothing new comes. Contained resources come with their container and are never included by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from psycopg.types.numeric import Int4
from sqlalchemy import ColumnElement, Integer, Text, column, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY

from conformance.definitions import resource_types
from conformance.issues import Issue
from fhir_server.auth.caller import Caller
from fhir_server.search import sql
from fhir_server.search.bound import Include
from fhir_server.search.condition import AllOf, Candidate, Condition, Scope, has_any
from fhir_server.search.environment import Environment
from fhir_server.search.index import index, values_of
from fhir_server.search.reference import local
from fhir_server.search.registry import Parameter
from fhir_server.search.rewrites import Permitted, permitted
from fhir_server.search.row import HasId
from fhir_server.search.searchset import Match
from fhir_server.search.session import Session
from fhir_server.search.slot import slot
from fhir_server.search.sql import Part, PastVersion
from fhir_server.search.token import escape

MOST_INCLUDED = 1000
MOST_ROUNDS = 20
_VERSIONED = re.compile(r"(.+)/_history/([1-9][0-9]{0,8})")
_decode = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class HasVersion:
    """The resource is one of some, and its current version the one that goes with it."""

    ids: tuple[str, ...]
    versions: tuple[int, ...]

    @property
    def shape(self) -> Hashable:
        """See Condition."""
        return "version"

    def values(self) -> Iterator[Any]:
        """See Condition."""
        yield list(self.ids)
        yield [Int4(version) for version in self.versions]

    def clause(self, scope: Scope) -> ColumnElement[bool]:
        """See Condition."""
        arrays = scope.binds.take(ARRAY(Text)), scope.binds.take(ARRAY(Integer))
        names = column("id", Text), column("version", Integer)
        sought = func.unnest(*arrays).table_valued(*names, name=f"sought{scope.binds.count}").render_derived()
        return tuple_(scope.table.c.id, scope.table.c.version).in_(select(sought.c.id, sought.c.version))

    def holds(self, candidate: Candidate) -> bool:  # noqa: ARG002 - as in Condition
        """Raise TypeError: a candidate's version isn't known before it is stored."""
        raise TypeError("Versions can only be compared in the database")


@dataclass(slots=True)
class _Wanted:
    """What a round looks for, by type: ids, versions, tokens of references, and other conditions."""

    ids: dict[str, dict[str, None]] = field(default_factory=dict)
    versions: dict[str, dict[tuple[str, int], None]] = field(default_factory=dict)
    tokens: dict[str, list[int]] = field(default_factory=dict)
    conditions: dict[str, list[Condition]] = field(default_factory=dict)

    def parts(self, caller: Caller, environment: Environment) -> tuple[list[Part], list[PastVersion]]:
        """Return what to read; types that the caller may not read are left out."""
        found: dict[str, list[Condition]] = {name: [HasId(tuple(ids))] for name, ids in self.ids.items()}
        for name, pairs in self.versions.items():
            ids, versions = zip(*pairs, strict=True)
            found.setdefault(name, []).append(HasVersion(ids, versions))
        for name, tokens in self.tokens.items():
            found.setdefault(name, []).append(has_any(tokens))
        for name, conditions in self.conditions.items():
            found.setdefault(name, []).extend(conditions)
        parts, past = [], []
        for name, conditions in found.items():
            allowed = permitted(caller, "read", name, environment)
            if allowed is not None:
                parts += [Part(name, condition, allowed) for condition in conditions]
                past += [(name, id_, version) for id_, version in self.versions.get(name, ())]
        return parts, past


class Inclusion:
    """The resources that come along with a page of matches."""

    def __init__(self, includes: Sequence[Include], caller: Caller, environment: Environment) -> None:
        self._includes = includes
        self._caller = caller
        self._environment = environment
        self._current: set[tuple[str, str]] = set()
        self._versions: set[PastVersion] = set()
        self._asked: set[Hashable] = set()
        self.found: list[Match] = []
        self.issues: list[Issue] = []

    async def follow(self, session: Session, matches: Sequence[Match]) -> None:
        """Read what belongs to a page of matches into ``found``."""
        self._note(matches)
        fresh, includes = matches, self._includes
        for _ in range(MOST_ROUNDS):
            parts, past = self._wanted(includes, fresh).parts(self._caller, self._environment)
            if not parts:
                return
            rows = await session.fetch(*sql.included(self._environment.tenant, parts, MOST_INCLUDED + 1, past))
            fresh = list(self._new(rows))
            room = MOST_INCLUDED - len(self.found)
            self.found += fresh[:room]
            if len(fresh) > room or len(rows) > MOST_INCLUDED:
                self._tell(f"Only {MOST_INCLUDED} included resources are sent with a page; there are more.")
                return
            includes = [include for include in includes if include.iterate]
            if not fresh or not includes:
                return
        self._tell(f"References were followed {MOST_ROUNDS} times; there may be more.")

    def _tell(self, text: str) -> None:
        self.issues.append(Issue("warning", "incomplete", text))

    def _note(self, matches: Iterable[Match]) -> None:
        self._current.update((match.resource_type, match.id) for match in matches)
        self._versions.update((match.resource_type, match.id, match.version) for match in matches)

    def _new(self, rows: Iterable[Sequence[Any]]) -> Iterator[Match]:
        """Yield the resources of a statement that are not shown yet."""
        for resource_type, key, id_, version, last_updated, content in rows:
            match = Match(resource_type, id_, version, last_updated, content, key or 0)
            if (resource_type, id_, version) in self._versions or (key is None and not self._may_see(match)):
                continue
            self._versions.add((resource_type, id_, version))
            if key is not None:
                self._current.add((resource_type, id_))
            yield match

    def _may_see(self, match: Match) -> bool:
        """Tell whether a superseded version is covered by a grant: it has no index entries, so it is tried in memory."""
        allowed: Permitted | None = permitted(self._caller, "read", match.resource_type, self._environment)
        if allowed is None or not allowed.conditions:
            return allowed is not None
        entries = index(
            match.resource_type, _decode(match.content), self._environment.tenant, self._environment.parameters
        )
        return allowed.holds(Candidate(match.id, match.last_updated, entries))

    def _wanted(self, includes: Sequence[Include], matches: Sequence[Match]) -> _Wanted:
        wanted = _Wanted()
        forward = [include for include in includes if not include.reverse]
        for match in matches:
            followed = [i for i in forward if i.source in (None, match.resource_type)]
            if followed:
                resource = _decode(match.content)
                for include in followed:
                    self._add_referenced(include, match.resource_type, resource, wanted)
        for include in includes:
            if include.reverse:
                self._add_referring(include, matches, wanted)
        return wanted

    def _parameters(self, include: Include, resource_type: str) -> Iterator[Parameter]:
        if include.parameter is not None:
            yield include.parameter
            return
        for parameter in self._environment.parameters.of(resource_type).values():
            if parameter.type == "reference" and parameter.indexed:
                yield parameter

    def _add_referenced(self, include: Include, resource_type: str, resource: dict[str, Any], wanted: _Wanted) -> None:
        for parameter in self._parameters(include, resource_type):
            for text in _references(parameter, resource):
                self._add_target(include, parameter, text.removeprefix(f"{self._environment.base_url}/"), wanted)

    def _add_target(self, include: Include, parameter: Parameter, text: str, wanted: _Wanted) -> None:
        relative = local(text)
        if relative is None:
            self._add_canonical(include, parameter, text, wanted)
            return
        resource_type, _, id_ = relative.partition("/")
        if include.target not in (None, resource_type):
            return
        versioned = _VERSIONED.fullmatch(text)
        if versioned:
            if (resource_type, id_, int(versioned[2])) not in self._versions:
                wanted.versions.setdefault(resource_type, {})[id_, int(versioned[2])] = None
        elif (resource_type, id_) not in self._current and self._is_new(relative):
            wanted.ids.setdefault(resource_type, {})[id_] = None

    def _is_new(self, asked: Hashable) -> bool:
        """Tell whether something is asked for the first time."""
        if asked in self._asked:
            return False
        self._asked.add(asked)
        return True

    def _add_canonical(self, include: Include, parameter: Parameter, text: str, wanted: _Wanted) -> None:
        """Look for a resource by its canonical URL, and its version where the reference names one."""
        url, _, version = text.partition("|")
        if ":" not in url or not _is_canonical(parameter):
            return
        for resource_type in parameter.targets:
            known = self._environment.parameters.of(resource_type)
            if include.target not in (None, resource_type) or "url" not in known:
                continue
            if not self._is_new((resource_type, text)):
                continue
            tokens = [has_any((slot(self._environment.tenant, known["url"]).token(url),))]
            if version and "version" in known:
                tokens.append(has_any((slot(self._environment.tenant, known["version"]).token(escape(version)),)))
            wanted.conditions.setdefault(resource_type, []).append(AllOf(tuple(tokens)))

    def _add_referring(self, include: Include, matches: Sequence[Match], wanted: _Wanted) -> None:
        targets = [match for match in matches if include.target in (None, match.resource_type)]
        if not targets:
            return
        for resource_type in [include.source] if include.source else resource_types():
            for parameter in self._parameters(include, resource_type):
                if tokens := list(self._referring_tokens(parameter, targets)):
                    wanted.tokens.setdefault(resource_type, []).extend(tokens)

    def _referring_tokens(self, parameter: Parameter, targets: Iterable[Match]) -> Iterator[int]:
        place, canonical = slot(self._environment.tenant, parameter), _is_canonical(parameter)
        for match in targets:
            if parameter.targets and match.resource_type not in parameter.targets:
                continue
            yield place.token(f"{match.resource_type}/{match.id}")
            if canonical:
                url = _decode(match.content).get("url")
                if isinstance(url, str):
                    yield place.token(url)


def _is_canonical(parameter: Parameter) -> bool:
    """Tell whether a parameter's references may name resources by their canonical URL."""
    return any(b.element is not None and {"canonical", "uri"}.intersection(b.element.types) for b in parameter.branches)


def _references(parameter: Parameter, resource: dict[str, Any]) -> Iterator[str]:
    """Yield what a parameter's references in a resource point to, as written."""
    for fhir_type, value in values_of(parameter, resource):
        found = value.get("valueReference", value) if fhir_type == "Extension" else value
        text = found.get("reference") if isinstance(found, dict) else found
        if isinstance(text, str) and not text.startswith("#"):
            yield text
