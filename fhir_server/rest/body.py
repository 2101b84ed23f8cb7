"""Reading request bodies: bounded, and unpacked where the client compressed them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from starlette.types import Receive

from fhir_server.errors import InvalidRequest, NotSupported, TooLarge


class ClientLeft(Exception):
    """The client closed the connection before its request was complete."""


MAX_UNANNOUNCED = 16_000_000
"""Bytes that a body may have whose length the client didn't tell, before it is refused: they have to be kept until then."""


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit:,} bytes.")


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the body; raises TooLarge (413) as soon as it passes ``limit`` bytes, compressed or not.

    What is too large is refused in constant memory: unread if the client says how long it is, else early.
    """
    length = headers.get("content-length")
    if length is not None and length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise _too_large(limit)
    if message.get("more_body"):
        parts, size = [body], len(body)
        most = limit if length is not None else min(limit, MAX_UNANNOUNCED)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            if size > most:
                raise TooLarge(f"A body of more than {most:,} bytes needs a Content-Length.")
            parts.append(part)
        body = b"".join(parts)
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity" or not body:
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise NotSupported(f"Content-Encoding {encoding[:40]} is not supported; send gzip or none.", status=415)
    return _gunzip(body, limit)


def _gunzip(body: bytes, limit: int) -> bytes:
    """Unpack one or more gzip members, never more than the limit whatever they hold (RFC 1952)."""
    out = b""
    while body:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            out += unpacker.decompress(body, limit + 1 - len(out))
        except zlib.error as error:
            raise InvalidRequest("The body is not valid gzip.", code="structure") from error
        if len(out) > limit:
            raise _too_large(limit)
        if not unpacker.eof:
            raise InvalidRequest("The gzip body ends too early.", code="structure")
        body = unpacker.unused_data
    return out
