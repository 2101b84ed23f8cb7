"""Answering a GraphQL query: what is in a resource at once, what has to be loaded in rounds.

In each round all references that came up, of whatever type, are read by one statement; each list is one search.
https://hl7.org/fhir/R4/graphql.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from conformance.definitions import resource_types
from conformance.fhirpath import FHIRPathError, FHIRPathSyntaxError, evaluate
from conformance.issues import InvalidResource, Issue, operation_outcome
from fhir_server.errors import FhirError, Forbidden
from fhir_server.operations.built_in import ServerContext
from fhir_server.operations.graphql.plan import CONNECTION, LIST, READ, RESOURCE, Field, Selection, Variables
from fhir_server.operations.graphql.schema import argument_name, filters, name_of
from fhir_server.operations.graphql.shape import Sliced, shaped
from fhir_server.search import sql
from fhir_server.search.environment import Environment
from fhir_server.search.execute import search
from fhir_server.search.reference import local
from fhir_server.search.registry import Parameter, SearchParameters
from fhir_server.search.rewrites import permitted
from fhir_server.search.row import HasId
from fhir_server.search.searchset import SearchPage
from fhir_server.search.sql import Part
from fhir_server.store.database import Session

MOST_ROUNDS = 12
MOST_SEARCHES = 200
MOST_READ = 5000
MOST_ERRORS = 50
MOST_COUNT = 1000
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
Path = tuple[Any, ...]
Reference = tuple[str, str]


@dataclass(slots=True)
class _Waiting:
    """A place in the answer that is filled when something is loaded. ``container`` is the resource it is asked of."""

    out: dict[Any, Any]
    field: Field
    given: dict[str, Any]
    container: dict[str, Any] | None
    path: Path
    reference: Reference | None = None


class Refused(Exception):
    """A field can't be answered; the others are."""


@dataclass
class Run:
    """One query being answered on one connection."""

    context: ServerContext
    session: Session
    parameters: SearchParameters
    variables: Variables
    errors: list[dict[str, Any]] = field(default_factory=list)
    searches: int = 0
    _waiting: list[_Waiting] = field(default_factory=list)

    async def answer(self, selection: Selection, root_type: str, root: dict[str, Any]) -> dict[str, Any]:
        """Return the answer's ``data``; what could not be answered is null there and in ``errors``."""
        out = self._object(selection, root_type, root, root if root_type != "Query" else None, ())
        for _ in range(MOST_ROUNDS):
            waiting, self._waiting = self._waiting, []
            if not waiting:
                return shaped(out)
            await self._read([w for w in waiting if w.reference is not None])
            for one in waiting:
                if one.reference is None:
                    await self._search(one)
        for one in self._waiting:
            self._fail(one.path, f"Resources are loaded over {MOST_ROUNDS} steps at most.", "too-costly")
        return shaped(out)

    def _object(
        self, selection: Selection, type_name: str, value: dict[str, Any], container: dict[str, Any] | None, path: Path
    ) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for asked in selection.fields(type_name):
            key: Any = asked.key if asked.plain else asked
            if asked.name == "__typename":
                out[key] = name_of(type_name)
            elif asked.loads is not None:
                out[key] = None
                self._later(out, asked, value, container, (*path, asked.key))
            else:
                out[key] = self._value(asked, value, container, (*path, asked.key))
        return out

    def _value(self, asked: Field, value: dict[str, Any], container: dict[str, Any] | None, path: Path) -> Any:
        for json_name, type_name in asked.values:
            found = value.get(json_name)
            if found is None:
                continue
            if not isinstance(found, list):
                return self._item(asked, type_name, found, container, path)
            try:
                items = self._chosen(asked, type_name, found, container)
            except Refused as reason:
                return self._fail(path, str(reason), "invalid")
            if asked.slice_path is not None:
                return self._sliced(asked, type_name, items, container, path)
            made = [self._item(asked, type_name, item, container, (*path, number)) for number, item in enumerate(items)]
            return (made[0] if made else None) if asked.first and asked.singleton else made
        return None

    def _item(self, asked: Field, type_name: str, item: Any, container: dict[str, Any] | None, path: Path) -> Any:
        if asked.selection is None or not isinstance(item, dict):
            return item
        if "resourceType" in item:
            return self._object(asked.selection, item["resourceType"], item, container or item, path)
        return self._object(asked.selection, type_name, item, container, path)

    def _sliced(
        self, asked: Field, type_name: str, items: list[Any], container: dict[str, Any] | None, path: Path
    ) -> Sliced:
        parts = []
        for number, item in enumerate(items):
            if asked.slice_path == "$index":
                name = str(number)
            else:
                found = self._evaluate(str(asked.slice_path), item, type_name, container, path)
                name = str(found[0]) if found else ""
            parts.append((name, self._item(asked, type_name, item, container, (*path, number))))
        return Sliced(parts)

    def _evaluate(
        self, expression: str, item: Any, type_name: str, container: dict[str, Any] | None, path: Path
    ) -> list[Any]:
        try:
            return evaluate(expression, container or {}, context=item, context_type=type_name)
        except (FHIRPathError, FHIRPathSyntaxError) as error:
            self._fail(path, f"'{expression[:200]}': {error}", "invalid")
            return []

    def _chosen(self, asked: Field, type_name: str, items: list[Any], container: dict[str, Any] | None) -> list[Any]:
        """Return the items of a list that its arguments let through."""
        given = asked.given(self.variables) if asked.arguments else {}
        offset, count = _window(given)
        expression = given.pop("fhirpath", None)
        for element in filters(type_name) if given else ():
            if element.name in given:
                wanted = {_text(v) for v in _as_list(given.pop(element.name))}
                items = [item for item in items if isinstance(item, dict) and _text(item.get(element.name)) in wanted]
        if expression is not None:
            try:
                items = [
                    item
                    for item in items
                    if evaluate(str(expression), container or {}, context=item, context_type=type_name) == [True]
                ]
            except (FHIRPathError, FHIRPathSyntaxError) as error:
                raise Refused(f"'{str(expression)[:200]}': {error}") from error
        items = items[offset:]
        items = items if count is None else items[:count]
        return items[:1] if asked.first else items

    def _later(
        self, out: dict[Any, Any], asked: Field, value: dict[str, Any], container: dict[str, Any] | None, path: Path
    ) -> None:
        given = asked.given(self.variables)
        waiting = _Waiting(out, asked, given, container, path)
        if asked.loads == READ:
            waiting.reference = asked.values[0][1], str(given.get("id", ""))
        elif asked.loads == RESOURCE:
            target = value.get("reference")
            if not isinstance(target, str):
                return
            if target.startswith("#"):
                self._fill_contained(waiting, target[1:])
                return
            relative = local(target.removeprefix(f"{self.context.base_url}/"))
            if relative is None:
                self._missing(waiting, target)
                return
            resource_type, _, id_ = relative.partition("/")
            if given.get("type") not in (None, resource_type):
                return
            waiting.reference = resource_type, id_
        self._waiting.append(waiting)

    def _fill_contained(self, waiting: _Waiting, id_: str) -> None:
        for resource in (waiting.container or {}).get("contained", ()):
            if resource.get("id") == id_ and waiting.given.get("type") in (None, resource["resourceType"]):
                self._fill(waiting, resource)
                return
        self._missing(waiting, f"#{id_}")

    def _missing(self, waiting: _Waiting, target: str) -> None:
        if not waiting.given.get("optional"):
            self._fail(waiting.path, f"{target[:200]} can't be resolved.", "not-found")

    def _fill(self, waiting: _Waiting, resource: dict[str, Any]) -> None:
        asked = waiting.field
        key: Any = asked.key if asked.plain else asked
        container = waiting.container if waiting.container and "contained" in waiting.container else resource
        if asked.selection is not None:
            waiting.out[key] = self._object(
                asked.selection,
                resource["resourceType"],
                resource,
                resource if "meta" in resource else container,
                waiting.path,
            )

    async def read(self, wanted: Mapping[str, Iterable[str]]) -> dict[Reference, dict[str, Any]]:
        """Return the resources that the caller may read of those named, type → ids, by one statement."""
        environment = Environment(self.context.caller.tenant, self.parameters, self.context.base_url)
        parts = []
        for resource_type, ids in sorted(wanted.items()):
            allowed = permitted(self.context.caller, "read", resource_type, environment)
            if allowed is not None:
                parts.append(Part(resource_type, HasId(tuple(ids)), allowed))
        rows = await self.session.fetch(*sql.included(environment.tenant, parts, MOST_READ)) if parts else []
        return {(row[0], row[2]): _decode(row[5]) for row in rows}

    async def _read(self, waiting: Sequence[_Waiting]) -> None:
        wanted: dict[str, dict[str, None]] = {}
        for one in waiting:
            resource_type, id_ = one.reference or ("", "")
            if resource_type in resource_types():
                wanted.setdefault(resource_type, {})[id_] = None
        found = await self.read(wanted)
        for one in waiting:
            resource = found.get(one.reference or ("", ""))
            if resource is not None:
                self._fill(one, resource)
            elif one.field.loads == READ:
                self._fail(one.path, f"There is no {'/'.join(one.reference or ())[:120]}.", "not-found")
            else:
                self._missing(one, "/".join(one.reference or ()))

    async def _search(self, waiting: _Waiting) -> None:
        self.searches += 1
        if self.searches > MOST_SEARCHES:
            self._fail(waiting.path, f"A query may take {MOST_SEARCHES} searches at most.", "too-costly")
            return
        asked, source = waiting.field, waiting.field.values[0][1]
        try:
            offset, count = _window(waiting.given)
            count = min(20 if count is None else count, MOST_COUNT)
            query = self._query(waiting, source)
            if asked.loads == CONNECTION and _asks_for(asked, source, "count"):
                query.append(("_total", "accurate"))
            page = await search(
                self.session,
                self.context.caller,
                source,
                [*query, ("_count", str(min(offset + count, MOST_COUNT)))],
                cursor_key=self.context.cursor_key,
                strict=True,
                registry=self.parameters,
                base_url=self.context.base_url,
                terminologies=self.context.terminologies,
            )
        except (InvalidResource, FhirError, Refused) as error:
            self._refuse(waiting.path, error)
            return
        resources = [_decode(match.content) for match in page.matches[offset:]]
        key: Any = asked.key if asked.plain else asked
        if asked.loads == LIST:
            items = resources[:1] if asked.first else resources
            made = [
                self._object(asked.selection, source, item, item, (*waiting.path, number))
                for number, item in enumerate(items)
                if asked.selection is not None
            ]
            if asked.slice_path is not None:
                waiting.out[key] = self._sliced(asked, source, items, None, waiting.path)
            else:
                waiting.out[key] = (made[0] if made else None) if asked.first and asked.singleton else made
        elif asked.selection is not None:
            edges = [{"mode": "match", "resource": resource} for resource in resources]
            value = _connection(page, edges, offset, count)
            waiting.out[key] = self._object(asked.selection, f"{source}Connection", value, None, waiting.path)

    def _query(self, waiting: _Waiting, source: str) -> list[tuple[str, str]]:
        """Return the search parameters of a list: its arguments, and the reference to what it is asked of."""
        known = {argument_name(code): parameter for code, parameter in self.parameters.of(source).items()}
        query: list[tuple[str, str]] = []
        for name, value in waiting.given.items():
            if name == "_reference":
                query.append(self._reversed(waiting, source, known.get(str(value)), str(value)))
                continue
            code = known[name].code if name in known else name
            query += [(code, _text(item)) for item in _as_list(value) if item is not None]
        return query

    def _reversed(self, waiting: _Waiting, source: str, parameter: Parameter | None, name: str) -> tuple[str, str]:
        owner = waiting.container or {}
        owner_type = str(owner.get("resourceType", ""))
        if (
            parameter is None
            or parameter.type != "reference"
            or (parameter.targets and owner_type not in parameter.targets)
        ):
            raise Refused(f"_reference: '{name[:64]}' is no parameter of {source} that refers to {owner_type}.")
        return parameter.code, f"{owner_type}/{owner.get('id', '')}"

    def _fail(self, path: Path, message: str, code: str) -> None:
        self._note(path, message, operation_outcome([Issue("error", code, message)]))

    def _refuse(self, path: Path, error: InvalidResource | FhirError | Refused) -> None:
        issues: Iterable[Issue] = getattr(error, "issues", None) or [
            Issue("error", "forbidden" if isinstance(error, Forbidden) else "invalid", str(error))
        ]
        outcome = operation_outcome(issues)
        self._note(path, "; ".join(issue["diagnostics"] for issue in outcome["issue"]), outcome)

    def _note(self, path: Path, message: str, outcome: dict[str, Any]) -> None:
        if len(self.errors) < MOST_ERRORS:
            self.errors.append({"message": message, "path": list(path), "extensions": {"resource": outcome}})


def _window(given: dict[str, Any]) -> tuple[int, int | None]:
    """Take ``_offset`` and ``_count`` out of the arguments; raises Refused for negative ones."""
    offset, count = given.pop("_offset", None), given.pop("_count", None)
    for number in (offset, count):
        if number is not None and (not isinstance(number, int) or number < 0):
            raise Refused("_offset and _count take whole numbers that are not negative.")
    return offset or 0, count


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _asks_for(asked: Field, source: str, name: str) -> bool:
    inner = asked.selection.fields(f"{source}Connection") if asked.selection is not None else ()
    return any(part.name == name for part in inner)


def _connection(page: SearchPage, edges: list[dict[str, Any]], offset: int, count: int) -> dict[str, Any]:
    return {
        "count": page.total,
        "offset": offset,
        "pagesize": count,
        "edges": edges,
        "previous": page.previous_cursor,
        "next": page.next_cursor,
    }
