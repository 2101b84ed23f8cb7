"""JSON Patch, https://www.rfc-editor.org/rfc/rfc6902, with JSON Pointer, https://www.rfc-editor.org/rfc/rfc6901."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from conformance.decode import encode, parse
from conformance.issues import InvalidResource
from conformance.patch.errors import MalformedPatch, inapplicable, malformed
from conformance.primitives import describe
from conformance.shape import MAX_DEPTH
from conformance.walk import DuplicatedObject, step

MAX_OPERATIONS = 10_000
MAX_COPIED = 16 * 1024 * 1024
"""Bytes of JSON that the ``copy`` operations of one patch may add: copies of copies grow without end."""

_ABSENT: Any = object()
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")
_MEMBERS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("from", "path"),
    "copy": ("from", "path"),
    "test": ("path", "value"),
}


def apply_json_patch(resource: Any, body: bytes) -> Any:
    """Return ``resource`` (any JSON value, left as it is) after all operations of the patch, in order.

    Raises MalformedPatch and InapplicablePatch; their messages count operations from 0.
    """
    operations = _parse_operations(body)
    patched = _Patched(copy_json(resource))
    for number, operation in enumerate(operations):
        patched.run(operation, f"Operation {number} ({operation['op']})")
    return patched.document


def copy_json(value: Any) -> Any:
    """Return a copy of a JSON value that shares no object or array with it."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def _parse_operations(body: bytes) -> list[dict[str, Any]]:
    """Return the operations, each with the members it needs and ``path``/``from`` parsed to their tokens."""
    try:
        operations = parse(body)
    except RecursionError as error:
        raise malformed("The patch is nested too deeply.") from error
    except InvalidResource as error:
        raise MalformedPatch(error.issues) from error
    if not isinstance(operations, list):
        raise malformed(f"A JSON Patch is an array of operations, found {describe(operations)}.")
    if len(operations) > MAX_OPERATIONS:
        raise malformed(f"The patch has more than {MAX_OPERATIONS} operations.", code="too-long")
    faults = [fault for number, operation in enumerate(operations) for fault in _find_faults(operation, number)]
    if faults:
        raise MalformedPatch([issue for fault in faults for issue in fault.issues])
    return [
        {**operation, **{name: _tokens(operation[name]) for name in ("path", "from") if name in operation}}
        for operation in operations
    ]


def _find_faults(operation: Any, number: int) -> list[MalformedPatch]:
    """Return what makes one element of the array no operation."""
    where = f"Operation {number}"
    if not isinstance(operation, dict):
        return [malformed(f"{where}: an operation is an object, found {describe(operation)}.")]
    kind = operation.get("op", _ABSENT)
    if kind is _ABSENT:
        return [malformed(f"{where}: 'op' is missing.", code="required")]
    if not isinstance(kind, str) or kind not in _MEMBERS:
        return [malformed(f"{where}: op is one of {', '.join(_MEMBERS)}, found {describe(kind)}.", code="value")]
    where = f"{where} ({kind})"
    faults = [malformed(f"{where}: {reason}.") for reason in _find_nested_faults(operation)]
    for name in _MEMBERS[kind]:
        if name not in operation:
            faults.append(malformed(f"{where}: '{name}' is missing.", code="required"))
        elif name != "value" and not _is_pointer(operation[name]):
            found = describe(operation[name])
            faults.append(malformed(f"{where}: {name} is no JSON Pointer (RFC 6901): {found}.", code="value"))
    # RFC 6902, 4: members that an operation doesn't define are ignored.
    for name in {"path", "from"} - set(_MEMBERS[kind]):
        operation.pop(name, None)
    return faults


def _find_nested_faults(operation: dict[str, Any]) -> Iterator[str]:
    """Yield what no part of an operation may have: repeated properties, and values nested more deeply than any resource."""
    parts: list[tuple[Any, int]] = [(operation, 0)]
    while parts:
        part, depth = parts.pop()
        if depth > 2 * MAX_DEPTH:
            yield f"values are nested more than {2 * MAX_DEPTH} levels deep"
            return
        if isinstance(part, DuplicatedObject):
            yield from (f"{describe(name)} occurs more than once" for name in part.duplicates)
        if isinstance(part, dict | list):
            parts += [(item, depth + 1) for item in (part.values() if isinstance(part, dict) else part)]


def _is_pointer(value: Any) -> bool:
    return isinstance(value, str) and (not value or value.startswith("/")) and not _BAD_ESCAPE.search(value)


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _pointer(tokens: list[str]) -> str:
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


class _Patched:
    """A document on which operations are run one after the other."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._copied = 0

    def run(self, operation: dict[str, Any], where: str) -> None:
        """Run one operation; ``where`` names it in refusals."""
        path: list[str] = operation["path"]
        match operation["op"]:
            case "add":
                self._add(path, operation["value"], where)
            case "remove":
                self._remove(path, where)
            case "replace":
                self._replace(path, operation["value"], where)
            case "move":
                self._move(operation["from"], path, where)
            case "copy":
                self._add(path, self._copy(operation["from"], where), where)
            case "test":
                if not _equal(self._find(path, where), operation["value"]):
                    raise inapplicable(f"{where}: {_pointer(path) or 'the resource'} differs.", self._expression(path))

    def _find(self, path: list[str], where: str) -> Any:
        value = self.document
        for depth, token in enumerate(path):
            value = _child(value, token)
            if value is _ABSENT:
                raise inapplicable(
                    f"{where}: there is nothing at {_pointer(path[: depth + 1])}.", self._expression(path[:depth])
                )
        return value

    def _copy(self, path: list[str], where: str) -> Any:
        value = self._find(path, where)
        self._copied += len(encode(value))
        if self._copied > MAX_COPIED:
            raise inapplicable(f"{where}: the patch copies more than {MAX_COPIED:,} bytes.")
        return copy_json(value)

    def _add(self, path: list[str], value: Any, where: str) -> None:
        if not path:
            self.document = value
            return
        parent, token = self._find(path[:-1], where), path[-1]
        if isinstance(parent, dict):
            parent[token] = value
        elif isinstance(parent, list):
            index = len(parent) if token == "-" else _index(token)  # noqa: S105 - a token of a pointer
            if index is None or index > len(parent):
                here = self._expression(path[:-1])
                raise inapplicable(f"{where}: {describe(token)} is no index of an array of {len(parent)}.", here)
            parent.insert(index, value)
        else:
            here = self._expression(path[:-1])
            raise inapplicable(f"{where}: {_pointer(path[:-1])} is {describe(parent)}, which has no members.", here)

    def _remove(self, path: list[str], where: str) -> Any:
        value = self._find(path, where)
        if not path:
            raise inapplicable(f"{where}: the resource as a whole can't be removed.")
        parent, token = self._find(path[:-1], where), path[-1]
        del parent[int(token) if isinstance(parent, list) else token]
        return value

    def _replace(self, path: list[str], value: Any, where: str) -> None:
        self._find(path, where)
        if not path:
            self.document = value
            return
        parent, token = self._find(path[:-1], where), path[-1]
        parent[int(token) if isinstance(parent, list) else token] = value

    def _move(self, source: list[str], path: list[str], where: str) -> None:
        if source == path:
            self._find(source, where)
            return
        if path[: len(source)] == source:
            raise inapplicable(f"{where}: {_pointer(source)} can't be moved into itself.", self._expression(source))
        self._add(path, self._remove(source, where), where)

    def _expression(self, path: list[str]) -> str | None:
        """Return the FHIRPath of a place, as far as it exists; None outside of resources."""
        value = self.document
        expression = value.get("resourceType") if isinstance(value, dict) else None
        if not isinstance(expression, str):
            return None
        for token in path:
            parent, value = value, _child(value, token)
            if value is _ABSENT:
                break
            expression = f"{expression}[{token}]" if isinstance(parent, list) else step(expression, token)
        return expression


def _index(token: str) -> int | None:
    return int(token) if _INDEX.fullmatch(token) else None


def _child(value: Any, token: str) -> Any:
    """Return the member or item that a token names; absent when there is none."""
    if isinstance(value, dict):
        return value.get(token, _ABSENT)
    if isinstance(value, list):
        index = _index(token)
        return _ABSENT if index is None or index >= len(value) else value[index]
    return _ABSENT


def _equal(one: Any, other: Any) -> bool:
    """Compare as RFC 6902, 4.6 does: numbers by value, objects whatever their order, never across types."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return one == other
    return type(one) is type(other) and bool(one == other)
