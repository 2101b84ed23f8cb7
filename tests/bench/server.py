"""A real, very small HTTP server that answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Seen:
    """The requests that came in, as (method, path, body), and the port they came to."""

    port: int = 0
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    connections: int = 0


Answer = Callable[[str, str, bytes], bytes | None]
"""Takes method, path and body; returns a whole response, or None to close the connection."""


def response(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """Return a response with Content-Length."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def serve(answer: Answer) -> AsyncIterator[Seen]:
    """Serve until the block ends."""
    seen = Seen()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            method, path, _ = head.split(" ", 2)
            length = next((int(h[15:]) for h in head.split("\r\n") if h.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            seen.requests.append((method, path, body))
            out = answer(method, path, body)
            if out is None:
                break
            writer.write(out)
        writer.close()

    listener = await asyncio.start_server(talk, "127.0.0.1", 0)
    seen.port = listener.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        listener.close()
        await listener.wait_closed()
        await asyncio.sleep(0.05)  # lets the handlers of closed connections end before the loop does
