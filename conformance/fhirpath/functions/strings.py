"""String functions, https://hl7.org/fhirpath/N1/#string-manipulation and https://hl7.org/fhirpath/#additional-string-functions."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from conformance.fhirpath.errors import FHIRPathError
from conformance.fhirpath.frame import Frame
from conformance.fhirpath.functions.registry import function
from conformance.fhirpath.items import Collection, to_system
from conformance.fhirpath.operands import integer, text
from conformance.fhirpath.patterns import check_length, compile_pattern, find_match, replace_groups

# anything else after a backslash stays as it is
_JSON_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})')


def _texts(name: str, *collections: Collection) -> list[str] | None:
    """Return input and arguments as strings, None if any is empty."""
    found = [text(items, f"an operand of {name}()") for items in collections]
    known = [entry for entry in found if entry is not None]
    return known if len(known) == len(found) else None


@function("indexOf", 1)
def index_of(_frame: Frame, items: Collection, part: Collection) -> Collection:
    """Return the position of the first ``part``, -1 if there is none."""
    found = _texts("indexOf", items, part)
    return [found[0].find(found[1])] if found else []


@function("lastIndexOf", 1)
def last_index_of(_frame: Frame, items: Collection, part: Collection) -> Collection:
    """Return the position of the last ``part``, -1 if there is none."""
    found = _texts("lastIndexOf", items, part)
    return [found[0].rfind(found[1])] if found else []


@function("substring", 1, 2)
def substring(_frame: Frame, items: Collection, start: Collection, length: Collection | None = None) -> Collection:
    """Return the text from ``start``, empty when that lies outside; at most ``length`` characters."""
    whole, at = text(items, "the input of substring()"), integer(start, "the start of substring()")
    size = integer(length, "the length of substring()") if length is not None else None
    if whole is None or at is None or not 0 <= at < len(whole):
        return []
    return [whole[at:] if size is None else whole[at : at + max(0, size)]]


@function("startsWith", 1)
def starts_with(_frame: Frame, items: Collection, part: Collection) -> Collection:
    """Tell whether the text starts with ``part``."""
    found = _texts("startsWith", items, part)
    return [found[0].startswith(found[1])] if found else []


@function("endsWith", 1)
def ends_with(_frame: Frame, items: Collection, part: Collection) -> Collection:
    """Tell whether the text ends with ``part``."""
    found = _texts("endsWith", items, part)
    return [found[0].endswith(found[1])] if found else []


@function("contains", 1)
def contains(_frame: Frame, items: Collection, part: Collection) -> Collection:
    """Tell whether ``part`` is in the text."""
    found = _texts("contains", items, part)
    return [found[1] in found[0]] if found else []


@function("upper")
def upper(_frame: Frame, items: Collection) -> Collection:
    """Return the text in upper case."""
    found = _texts("upper", items)
    return [found[0].upper()] if found else []


@function("lower")
def lower(_frame: Frame, items: Collection) -> Collection:
    """Return the text in lower case."""
    found = _texts("lower", items)
    return [found[0].lower()] if found else []


@function("trim")
def trim(_frame: Frame, items: Collection) -> Collection:
    """Return the text without white space at its ends."""
    found = _texts("trim", items)
    return [found[0].strip()] if found else []


@function("length")
def length(_frame: Frame, items: Collection) -> Collection:
    """Return the number of characters."""
    found = _texts("length", items)
    return [len(found[0])] if found else []


@function("toChars")
def to_chars(_frame: Frame, items: Collection) -> Collection:
    """Return the characters as strings."""
    found = _texts("toChars", items)
    return list(found[0]) if found else []


@function("split", 1)
def split(_frame: Frame, items: Collection, separator: Collection) -> Collection:
    """Return the parts between separators; an empty separator splits into characters."""
    found = _texts("split", items, separator)
    if not found:
        return []
    return [*found[0].split(found[1])] if found[1] else [*found[0]]


@function("join", 0, 1)
def join(_frame: Frame, items: Collection, separator: Collection | None = None) -> Collection:
    """Return the input strings as one, with ``separator`` between them."""
    between = text(separator, "the separator of join()") if separator is not None else None
    parts = [part for part in map(to_system, items) if part is not None]
    if not all(type(part) is str for part in parts):
        raise FHIRPathError("the input of join() must be Strings")
    check_length(sum(map(len, parts)) + len(parts) * len(between or ""))
    return [(between or "").join(parts)] if parts else []


@function("replace", 2)
def replace(_frame: Frame, items: Collection, pattern: Collection, substitution: Collection) -> Collection:
    """Return the text with every ``pattern`` replaced; an empty pattern stands around each character."""
    found = _texts("replace", items, pattern, substitution)
    if not found:
        return []
    check_length(len(found[0]) + found[0].count(found[1]) * len(found[2]))
    return [found[0].replace(found[1], found[2])]


@contextmanager
def _patience(frame: Frame) -> Iterator[float]:
    """Give the seconds that regular expressions may still take in this evaluation, and count those they took."""
    started = perf_counter()
    try:
        yield frame.patience
    finally:
        frame.patience -= perf_counter() - started


@function("matches", 1, 2)
def matches(frame: Frame, items: Collection, pattern: Collection, flags: Collection | None = None) -> Collection:
    """Tell whether ``pattern`` occurs in the text."""
    found = _texts("matches", items, pattern)
    options = text(flags, "the flags of matches()") if flags is not None else None
    if not found:
        return []
    with _patience(frame) as seconds:
        return [find_match(compile_pattern(found[1], options or ""), found[0], seconds)]


@function("matchesFull", 1, 2)
def matches_full(frame: Frame, items: Collection, pattern: Collection, flags: Collection | None = None) -> Collection:
    """Tell whether ``pattern`` fits the whole text, or with the flag ``m`` a whole line."""
    found = _texts("matchesFull", items, pattern)
    options = (text(flags, "the flags of matchesFull()") if flags is not None else None) or ""
    if not found:
        return []
    with _patience(frame) as seconds:
        if "m" in options:
            return [find_match(compile_pattern(f"^(?:{found[1]})$", options), found[0], seconds)]
        return [find_match(compile_pattern(found[1], options), found[0], seconds, whole=True)]


@function("replaceMatches", 2, 3)
def replace_matches(
    frame: Frame,
    items: Collection,
    pattern: Collection,
    substitution: Collection,
    flags: Collection | None = None,
) -> Collection:
    """Replace what ``pattern`` matches; ``$1`` and ``${name}`` in the substitution mean its groups."""
    found = _texts("replaceMatches", items, pattern, substitution)
    options = text(flags, "the flags of replaceMatches()") if flags is not None else None
    if not found:
        return []
    if not found[1]:
        return [found[0]]
    with _patience(frame) as seconds:
        return [replace_groups(compile_pattern(found[1], options or ""), found[2], found[0], seconds)]


_ENCODE: dict[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "urlbase64": lambda data: base64.urlsafe_b64encode(data).decode(),
    "hex": lambda data: data.hex(),
}
_DECODE: dict[str, Callable[[str], bytes]] = {
    "base64": lambda data: base64.b64decode(data, validate=True),
    "urlbase64": lambda data: base64.b64decode(data, altchars=b"-_", validate=True),
    "hex": bytes.fromhex,
}


@function("encode", 1)
def encode(_frame: Frame, items: Collection, form: Collection) -> Collection:
    """Return the text in ``base64``, ``urlbase64`` or ``hex``."""
    found = _texts("encode", items, form)
    return [_ENCODE[found[1]](found[0].encode())] if found and found[1] in _ENCODE else []


@function("decode", 1)
def decode(_frame: Frame, items: Collection, form: Collection) -> Collection:
    """Return the text that is encoded as ``base64``, ``urlbase64`` or ``hex``."""
    found = _texts("decode", items, form)
    if not found or found[1] not in _DECODE:
        return []
    try:
        return [_DECODE[found[1]](found[0]).decode()]
    except (binascii.Error, ValueError) as error:
        raise FHIRPathError(f"the text is not {found[1]}: {error}") from error


@function("escape", 1)
def escape(_frame: Frame, items: Collection, form: Collection) -> Collection:
    """Return the text escaped for ``html`` or ``json``."""
    found = _texts("escape", items, form)
    if found and found[1] == "html":
        return [html.escape(found[0])]
    return [json.dumps(found[0], ensure_ascii=False)[1:-1]] if found and found[1] == "json" else []


@function("unescape", 1)
def unescape(_frame: Frame, items: Collection, form: Collection) -> Collection:
    """Return the text that was escaped for ``html`` or ``json``."""
    found = _texts("unescape", items, form)
    if found and found[1] == "html":
        return [html.unescape(found[0])]
    return [_JSON_ESCAPE.sub(_plain_json, found[0])] if found and found[1] == "json" else []


def _plain_json(sequence: re.Match[str]) -> str:
    plain: str = json.loads(f'"{sequence.group()}"')
    return plain
