"""The units of a load: what is stored together and remembered by its hash.

A transaction Bundle is one unit and stays all or nothing, https://hl7.org/fhir/R4/http.html#transaction. A resource on
its own (a file, an NDJSON line, an entry of a batch, collection, searchset or document Bundle) is a unit as well: with
an id it is put there (update as create), without one it is created. When the entries of a collection refer to each
other by full URLs (``urn:…``, ``http://…``), only a transaction can resolve them, so that Bundle is one unit too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

CONDITIONAL_REFERENCE = re.compile(rb'"reference"\s*:\s*"[A-Za-z]+\?')
_URN_REFERENCE = re.compile(rb'"reference"\s*:\s*"urn:')
_ABSOLUTE_REFERENCE = re.compile(rb'"reference"\s*:\s*"(https?://[^"]+)"')
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_INDEPENDENT = ("batch", "collection", "searchset", "document")


class UnloadableError(Exception):
    """A document can't be turned into units; the message says why."""


class NotFhirError(UnloadableError):
    """A JSON document that isn't a FHIR resource at all."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit. ``body`` is a transaction Bundle if it is ``whole``, else one Bundle entry with its request.

    ``conditional`` tells that it refers to others by search (``Practitioner?identifier=…``), so they must be there.
    """

    digest: bytes
    source: str
    body: bytes
    entries: int
    whole: bool
    conditional: bool


class _Head(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    id: str | None = None


class _Mode(msgspec.Struct):
    mode: str | None = None


_ABSENT = msgspec.Raw()  # of no bytes: a union of Raw with None would refuse every value


class _Entry(msgspec.Struct, rename="camel"):
    resource: msgspec.Raw = _ABSENT
    request: msgspec.Raw = _ABSENT
    full_url: str | None = None
    search: _Mode | None = None


class _Bundle(msgspec.Struct):
    type: str | None = None
    entry: list[msgspec.Raw] = []


_HEAD = msgspec.json.Decoder(_Head)
_BUNDLE = msgspec.json.Decoder(_Bundle)
_ENTRY = msgspec.json.Decoder(_Entry)


def units_of(content: bytes, source: str) -> Iterator[Unit]:
    """Yield the units of one JSON document; raises UnloadableError."""
    content = content.strip().removeprefix(b"\xef\xbb\xbf")
    head = _head(content)
    if head.resource_type != "Bundle":
        yield _unit(content, source, _entry(content, head))
        return
    try:
        bundle = _BUNDLE.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnloadableError(f"the Bundle can't be read: {error}") from error
    entries = bundle.entry
    if bundle.type == "transaction":
        yield _unit(content, source, content, len(entries), whole=True)
    elif bundle.type not in _INDEPENDENT:
        raise UnloadableError(f"a Bundle of type {bundle.type!r} can't be loaded")
    elif bundle.type != "batch" and (_URN_REFERENCE.search(content) or _refers_within(content, entries)):
        yield _unit(content, source, transaction(_of_bundle(entries)), len(entries), whole=True)
    else:
        for number, entry in enumerate(entries):
            for body in _of_bundle([entry], number, named=False):
                yield _unit(bytes(entry), f"{source} entry[{number}]", body)


def transaction(entries: Sequence[bytes]) -> bytes:
    """Return the transaction Bundle of these entries."""
    return b'{"resourceType":"Bundle","type":"transaction","entry":[' + b",".join(entries) + b"]}"


def _unit(content: bytes, source: str, body: bytes, entries: int = 1, *, whole: bool = False) -> Unit:
    return Unit(sha256(content).digest(), source, body, entries, whole, CONDITIONAL_REFERENCE.search(body) is not None)


def _head(content: bytes) -> _Head:
    try:
        head = _HEAD.decode(content)
    except msgspec.ValidationError as error:
        raise NotFhirError(f"not a FHIR resource: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnloadableError(f"not valid JSON: {error}") from error
    if head.resource_type is None:
        raise NotFhirError("not a FHIR resource: it has no resourceType")
    return head


def _refers_within(content: bytes, entries: Sequence[msgspec.Raw]) -> bool:
    """Tell whether entries refer to each other by absolute full URLs."""
    references = set(_ABSOLUTE_REFERENCE.findall(content))
    return bool(references) and any(
        (_read_entry(entry, number).full_url or "").encode() in references for number, entry in enumerate(entries)
    )


def _read_entry(raw: msgspec.Raw, number: int) -> _Entry:
    try:
        return _ENTRY.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnloadableError(f"entry[{number}] can't be read: {error}") from error


def _of_bundle(entries: Sequence[msgspec.Raw], first: int = 0, *, named: bool = True) -> list[bytes]:
    """Return the entries that store something, each with a request, and ``named`` by its full URL.

    One that is a unit of its own isn't: what else is stored in the same transaction comes from anywhere.
    """
    made = []
    for number, raw in enumerate(entries, start=first):
        entry = _read_entry(raw, number)
        if bytes(entry.request):
            made.append(bytes(raw))
        elif not bytes(entry.resource):
            raise UnloadableError(f"entry[{number}] has neither resource nor request")
        elif entry.search is None or entry.search.mode != "outcome":
            resource = bytes(entry.resource)
            made.append(_entry(resource, _head(resource), entry.full_url if named else None))
    return made


def _entry(resource: bytes, head: _Head, full_url: str | None = None) -> bytes:
    """Return a Bundle entry that puts a resource under its id, or creates it when it has none."""
    if head.id is None:
        request = {"method": "POST", "url": head.resource_type}
    elif _ID.fullmatch(head.id):
        request = {"method": "PUT", "url": f"{head.resource_type}/{head.id}"}
    else:
        raise UnloadableError(f"{head.id[:80]!r} is not a FHIR id")
    named = b"" if full_url is None else b'"fullUrl":' + msgspec.json.encode(full_url) + b","
    return b"{" + named + b'"resource":' + resource + b',"request":' + msgspec.json.encode(request) + b"}"
