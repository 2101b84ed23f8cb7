"""Bytes to checked resource and back, https://hl7.org/fhir/R4/json.html.

The models accept conforming JSON at the speed of C. What they refuse, or cannot judge, goes to the thorough
walk, which names every issue at once. Decimals keep their digits: ``1.10`` stays ``1.10``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from conformance.definitions import resource_types
from conformance.issues import InvalidResource, Issue
from conformance.models import decoder
from conformance.primitives import MAX_EXPONENT
from conformance.shape import MAX_DEPTH
from conformance.walk import DuplicatedObject, walk

_PLAIN = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_RESOURCES = frozenset(resource_types())

# An element with nothing, or with nothing but an id.
_EMPTY_ELEMENT = re.compile(rb'\{(?:\}|"id":"(?:[^"\\]|\\.)*+"\})')
# How msgspec writes control characters other than tab, line feed and carriage return.
_CONTROL = re.compile(rb"\\(?:[bf]|u00)")
_LARGE_EXPONENT = re.compile(rb"E[+-][0-9]{3}")
_ESCAPED_COLON = re.compile(rb"\\u003[aA]")
_ESCAPE = re.compile(rb"\\.")
_ONE_KIND = bytes.maketrans(b"[]", b"{}")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'{}[]"'))
_MSGSPEC_POSITION = re.compile(r" \(byte (\d+)\)")
_TOO_DEEP = f"Elements are nested more than {MAX_DEPTH} levels deep"
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError)


def decode(body: bytes, resource_type: str | None = None) -> dict[str, Any]:
    """Parse and check a resource: structure, cardinality, primitive formats, required bindings.

    Returns plain JSON with the order of the properties kept; numbers are Decimals if they have a fraction or exponent,
    else int. ``resource_type`` is what the resource must be. Raises InvalidResource with all issues.
    """
    try:
        resource = _PLAIN.decode(body)
        name = resource["resourceType"]
        decoder(name).decode(body)
        compact = _ENCODER.encode(resource)
    except (*_UNREADABLE, RecursionError, LookupError, TypeError) as e:
        _refuse(body, resource_type, e)
    if _needs_walk(compact) or _may_repeat_properties(body, compact):
        _settle(body, resource_type)
    elif resource_type is not None and name != resource_type:
        raise InvalidResource([_mismatch(name, resource_type)])
    return resource  # type: ignore[no-any-return]  # a model accepted it, so it is an object


def decode_stored(body: bytes) -> dict[str, Any]:
    """Parse what was checked when it was stored; numbers as in :func:`decode`, in a third of its time."""
    resource: dict[str, Any] = _PLAIN.decode(body)
    return resource


def check(resource: dict[str, Any]) -> None:
    """Check a resource built in Python as :func:`decode` checks bytes. Raises InvalidResource with all issues."""
    try:
        body = encode(resource)
    except RecursionError as e:
        raise InvalidResource([Issue("error", "structure", _TOO_DEEP)]) from e
    except (TypeError, ValueError) as e:
        raise InvalidResource([Issue("error", "value", f"Not JSON: {e}")]) from e
    decode(body)


def encode(resource: Any) -> bytes:
    """Return the JSON of a resource without whitespace; Decimals are written with the digits they have."""
    return _ENCODER.encode(resource)


def _needs_walk(compact: bytes) -> bool:
    """Whether JSON without whitespace holds something that the models do not judge. May be a false alarm."""
    return (
        _EMPTY_ELEMENT.search(compact) is not None
        or _LARGE_EXPONENT.search(compact) is not None
        or (b"\\" in compact and _CONTROL.search(compact) is not None)
        or _is_deep(compact)
    )


def _is_deep(compact: bytes) -> bool:
    """Whether objects and arrays are nested deeper than MAX_DEPTH. Takes time in proportion to the text."""
    if compact.count(b"{") + compact.count(b"[") <= MAX_DEPTH:
        return False
    text = _ESCAPE.sub(b"", compact) if b"\\" in compact else compact
    quotes_and_brackets = text.translate(_ONE_KIND, _NOT_STRUCTURE)
    brackets = quotes_and_brackets.replace(b'""', b"")
    # A quote is left over when a string has brackets in it: then only what stands between strings counts.
    if b'"' in brackets:
        brackets = b"".join(quotes_and_brackets.split(b'"')[::2])
    # Peel off the innermost pairs, level by level.
    for _ in range(MAX_DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"{}", b"")
    return bool(brackets)


def _may_repeat_properties(body: bytes, compact: bytes) -> bool:
    """Whether properties may be repeated in an object. Parsing drops repeated ones, and their colons with them."""
    return body.count(b":") != compact.count(b":") or (b"\\" in body and _ESCAPED_COLON.search(body) is not None)


def _refuse(body: bytes, resource_type: str | None, error: Exception) -> NoReturn:
    """Raise the issues of a body that the fast path refused with ``error``."""
    _settle(body, resource_type)
    # The walk should have found the reason. That it did not is a defect, but no reason to let the resource in.
    raise InvalidResource([Issue("error", "invalid", f"The resource was refused: {error}")])


def _settle(body: bytes, resource_type: str | None) -> None:
    """Let the walk decide: raise InvalidResource if it finds issues."""
    try:
        resource = parse(body)
    except RecursionError as e:
        raise InvalidResource([Issue("error", "structure", _TOO_DEEP)]) from e
    issues = walk(resource)
    name = resource.get("resourceType") if isinstance(resource, dict) else None
    if resource_type is not None and isinstance(name, str) and name in _RESOURCES and name != resource_type:
        issues.insert(0, _mismatch(name, resource_type))
    if issues:
        raise InvalidResource(issues)


def _mismatch(name: str, expected: str) -> Issue:
    return Issue("error", "invalid", f"Expected a resource of type {expected}, found {name}", name)


def parse(body: bytes) -> Any:
    """Parse JSON; objects with repeated properties are :class:`conformance.walk.DuplicatedObject`.

    Raises InvalidResource with the position of a fault, RecursionError for deep nesting.
    """
    try:
        text = body.decode()
        resource = json.loads(
            text, object_pairs_hook=_object, parse_float=_decimal, parse_int=_integer, parse_constant=_decimal
        )
    except UnicodeDecodeError as e:
        raise _unparsable("The text is not UTF-8", body[: e.start]) from e
    except json.JSONDecodeError as e:
        raise _unparsable(e.msg, text[: e.pos].encode()) from e
    # The standard parser lets NaN pass, and half of a surrogate pair, which no UTF-8 can carry; msgspec does not.
    try:
        msgspec.json.decode(body)
    except msgspec.ValidationError:
        return resource  # an enormous number, which the walk reports
    except msgspec.DecodeError as e:
        position = _MSGSPEC_POSITION.search(str(e))
        if position is None:
            raise _unparsable("A string holds half of a surrogate pair", body) from e
        raise _unparsable("Not a JSON value", body[: int(position[1])]) from e
    return resource


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    times = Counter(name for name, _ in pairs)
    marked = DuplicatedObject(plain)
    marked.duplicates = tuple(name for name in plain if times[name] > 1)
    return marked


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except ArithmeticError:
        return Decimal("Infinity")  # beyond what Decimal can hold; the walk refuses it as out of range


def _integer(digits: str) -> int | Decimal:
    # Python refuses to convert thousands of digits, in defence of its quadratic time.
    return int(digits) if len(digits) <= MAX_EXPONENT + 2 else Decimal("Infinity")


def _unparsable(reason: str, before: bytes) -> InvalidResource:
    """Return the fatal issue of text that is not JSON; ``before`` is what precedes the fault."""
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    text = f"Not JSON: {reason} (line {line}, column {column})"
    return InvalidResource([Issue("fatal", "structure", text, None, line, column)])
