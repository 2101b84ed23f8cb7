"""A keep-alive HTTP/1.1 connection that costs the measuring machine little: requests are ready-made bytes.

https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple, cast
from urllib.parse import urlsplit

FHIR_JSON = "application/fhir+json"


class Response(NamedTuple):
    """Status, head (lower case) and body. Status 0: the server closed the connection before it had answered."""

    status: int
    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Base:
    """A FHIR base URL with what every request to it carries."""

    host: str
    port: int
    path: str
    headers: str

    def request(self, method: str, path: str, body: bytes | None = None, content_type: str = FHIR_JSON) -> bytes:
        """Return a whole request; ``path`` is relative to the base, such as ``/Patient/1``."""
        length = "" if body is None else f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        head = f"{method} {self.path}{path} HTTP/1.1\r\n{self.headers}{length}\r\n"
        return head.encode() + (body or b"")


def parse_base(url: str, token: str | None = None) -> Base:
    """Return the base of an ``http://`` URL; raises ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r} is no http:// URL")
    headers = f"Host: {parts.netloc}\r\nAccept: {FHIR_JSON}\r\n"
    if token:
        headers += f"Authorization: Bearer {token}\r\n"
    return Base(parts.hostname, parts.port or 80, parts.path.rstrip("/"), headers)


class _Wire(asyncio.Protocol):
    """Collects one response at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiter: asyncio.Future[Response] | None = None
        self._head: bytes | None = None
        self._body_start = 0
        self._needed = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one without deriving from it

    def send(self, request: bytes) -> asyncio.Future[Response]:
        """Send a request and return its coming response."""
        if self.transport is None:
            raise ConnectionResetError("the connection is closed")
        self._waiter = asyncio.get_running_loop().create_future()
        self._head = None
        self._buffer.clear()
        self.transport.write(request)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._head is None and not self._read_head():
            return
        if self._needed >= 0:
            if len(self._buffer) >= self._needed:
                self._deliver(bytes(self._buffer[self._body_start : self._needed]))
        elif self._buffer.endswith(b"0\r\n\r\n"):
            self._deliver(_dechunk(bytes(self._buffer[self._body_start :])))

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        self._head = bytes(self._buffer[:end]).lower()
        self._body_start = end + 4
        at = self._head.find(b"\r\ncontent-length:")
        if at >= 0:
            self._needed = self._body_start + int(self._head[at + 17 :].split(b"\r\n", 1)[0])
        else:
            self._needed = -1 if b"\r\ntransfer-encoding: chunked" in self._head else self._body_start
        return True

    def _deliver(self, body: bytes) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done() and self._head is not None:
            waiter.set_result(Response(int(self._head[9:12]), self._head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(Response(0, b"", b"" if exc is None else str(exc).encode()))


def _dechunk(content: bytes) -> bytes:
    parts: list[bytes] = []
    at = 0
    while True:
        end = content.index(b"\r\n", at)
        size = int(content[at:end].split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(content[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


class Connection:
    """One connection, opened when first needed and again after the server closed it."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._wire: _Wire | None = None

    async def send(self, request: bytes) -> Response:
        """Send a request and wait for its response; raises OSError when the server can't be reached."""
        wire = self._wire
        if wire is None or wire.transport is None:
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_connection(_Wire, self._base.host, self._base.port)
            self._wire = wire
        response = await wire.send(request)
        if b"\r\nconnection: close" in response.head:
            self.close()
        return response

    def close(self) -> None:
        """Close the connection."""
        if self._wire is not None and self._wire.transport is not None:
            self._wire.transport.close()
        self._wire = None
