"""The MLLP listener: blocks of ``VT message FS CR`` over TCP, stored durably in groups before they are acknowledged.

Minimal Lower Layer Protocol, https://www.hl7.org/documentcenter/public/wg/inm/mllp_transport_specification.PDF.
Messages from all connections that
arrive while one group is being committed make the next group, so that one flush to disk serves many. Content is never
logged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from fhir_server.operations.feed import Inbox, Received
from mappers.hl7v2.ack import refuse
from mappers.hl7v2.encoding import HeaderError
from mappers.hl7v2.receive import receive
from mappers.hl7v2.tokenizer import MAX_BYTES, split_batch

log = logging.getLogger(__name__)

_START = 0x0B
_END = b"\x1c"
_AFTER_END = b"\r\n\x0b"
_RESTART = re.compile(rb"\x0b(?=MSH|FHS|BHS)")
_HEADS = (b"MSH", b"FHS", b"BHS")
_MAX_NOISE = 65536
_CHECK_SECONDS = 1.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener allows. Times are in seconds.

    ``idle_timeout``: silence between messages; ``block_timeout``: from the first byte of a message to its last;
    ``in_flight``: messages of one connection that wait for their acknowledgement before reading pauses.
    """

    max_bytes: int = MAX_BYTES
    max_connections: int = 512
    idle_timeout: float = 3600
    block_timeout: float = 120
    in_flight: int = 256
    group_messages: int = 512
    group_bytes: int = 16 * 1024 * 1024
    grace: float = 10


@dataclass(slots=True)
class _Waiting:
    message: Received
    acknowledged: asyncio.Future[bytes]


class _Connection(asyncio.Protocol):
    """One sender: cuts blocks out of the stream and answers them in order."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._limits = listener.limits
        self._buffer = bytearray()
        self._scanned = 0
        self._pending: deque[asyncio.Future[bytes]] = deque()
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._last_activity = 0.0
        self._block_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection if there is room and the sender is allowed."""
        # A TCP server only makes stream transports, though uvloop's do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if not self._listener.admit(self, transport.get_extra_info("peername")):
            self._transport.abort()
            return
        self._last_activity = self._loop.time()
        self._timer = self._loop.call_later(_CHECK_SECONDS, self._check_deadlines)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; messages on their way into the inbox stay on it."""
        del exc
        if self._timer is not None:
            self._timer.cancel()
        self._listener.forget(self)
        self._buffer.clear()

    def data_received(self, data: bytes) -> None:
        """Collect bytes and take out every complete block."""
        self._last_activity = self._loop.time()
        self._buffer += data
        while (block := self._next_block()) is not None:
            self._take(block)
        if len(self._buffer) > self._limits.max_bytes:
            fault = HeaderError(f"The message has more than {self._limits.max_bytes} bytes.", "MSH^1", "207")
            log.warning("a message over the size limit was refused")
            self._refuse(fault)

    def eof_received(self) -> bool:
        """Return the sender has said everything: answer what is under way, then close."""
        if self._pending:
            self._pending[-1].add_done_callback(lambda _: self.close())
            return True
        return False

    def _next_block(self) -> bytes | None:
        """Cut the next block out of the buffer; bytes between blocks are skipped, a block begun anew starts there."""
        buffer = self._buffer
        while True:
            end = buffer.find(_END, self._scanned)
            if end < 0:
                self._scanned = len(buffer)
                self._note_beginning()
                return None
            if end + 1 < len(buffer) and buffer[end + 1] not in _AFTER_END:
                self._scanned = end + 1  # part of the content
                continue
            start = buffer.find(_START, 0, end)
            content = bytes(buffer[start + 1 : end]) if start >= 0 else bytes(buffer[:end]).strip()
            skipped = start if start >= 0 else 0
            if start < 0 and not content.startswith(_HEADS):
                skipped, content = end, b""
            restarts = list(_RESTART.finditer(content))
            if restarts:
                skipped += restarts[-1].start()
                content = content[restarts[-1].end() :]
            if skipped and bytes(buffer[:skipped]).strip():
                log.warning("%d bytes outside of MLLP blocks were skipped", skipped)
            del buffer[: end + 1]
            self._scanned = 0
            self._block_since = None
            if start >= 0 or content:
                return content

    def _note_beginning(self) -> None:
        if self._block_since is None and self._buffer.strip():
            self._block_since = self._loop.time()
        if (
            _START not in self._buffer
            and len(self._buffer) > _MAX_NOISE
            and not self._buffer.lstrip().startswith(_HEADS)
        ):
            log.warning("%d bytes outside of MLLP blocks were skipped", len(self._buffer))
            self._buffer.clear()
            self._scanned = 0

    def _take(self, block: bytes) -> None:
        now = datetime.now(UTC)
        for raw in split_batch(block):
            future = self._loop.create_future()
            self._pending.append(future)
            future.add_done_callback(self._answer)
            self._listener.store(_Waiting(receive(raw, now), future))
        if not self._paused and len(self._pending) >= self._limits.in_flight and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _answer(self, _: asyncio.Future[bytes]) -> None:
        """Send the acknowledgements that are due, in the order of the messages."""
        transport = self._transport
        out: list[bytes] = []
        while self._pending and self._pending[0].done():
            future = self._pending.popleft()
            error = future.exception()
            if error is not None:
                # Not stored: no acknowledgement may go out. A closed connection makes the sender send again.
                self.close()
                return
            out.append(future.result())
        if transport is None or transport.is_closing():
            return
        if out:
            transport.write(b"".join(out))
        if self._paused and len(self._pending) < self._limits.in_flight // 2 + 1:
            self._paused = False
            transport.resume_reading()

    def _refuse(self, fault: HeaderError) -> None:
        if self._transport is not None:
            self._transport.write(refuse(fault, datetime.now(UTC), "P207"))
        self.close()

    def _check_deadlines(self) -> None:
        now = self._loop.time()
        late = self._block_since is not None and now - self._block_since > self._limits.block_timeout
        if late or (not self._pending and now - self._last_activity > self._limits.idle_timeout):
            log.info("a connection was closed: %s", "a message was not completed in time" if late else "idle")
            self.close()
            return
        self._timer = self._loop.call_later(_CHECK_SECONDS, self._check_deadlines)

    def stop_reading(self) -> None:
        """Take no further messages."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def close(self) -> None:
        """Close after what has been written is sent."""
        if self._transport is not None:
            self._transport.close()


class Listener:
    """An MLLP server. ``allowed`` limits where senders may come from; ``tls`` may demand client certificates."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        allowed: Sequence[Network] = (),
    ) -> None:
        self.limits = limits or Limits()
        self._inbox = inbox
        self._tls = tls
        self._allowed = tuple(allowed)
        self._connections: set[_Connection] = set()
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._committer: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self, host: str = "127.0.0.1", port: int = 2575) -> int:
        """Listen; returns the port, which matters when 0 was asked for. Raises OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port, ssl=self._tls, backlog=512)
        self._committer = asyncio.create_task(self._commit())
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop accepting, store and acknowledge what has arrived, then close every connection."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.stop_reading()
        if self._committer is not None:
            try:
                async with asyncio.timeout(self.limits.grace):
                    await self._queue.join()
            except TimeoutError:
                log.warning("%d messages could not be stored before the end", self._queue.qsize())
            self._committer.cancel()
            await asyncio.gather(self._committer, return_exceptions=True)
        await asyncio.sleep(0)  # lets the acknowledgements of the last group be written
        for connection in list(self._connections):
            connection.close()

    def admit(self, connection: _Connection, peer: object) -> bool:
        """Whether a connection may stay; it counts from now on if so."""
        if self._closing or len(self._connections) >= self.limits.max_connections:
            log.warning("a connection was refused: %s", "closing" if self._closing else "too many")
            return False
        if self._allowed:
            address = ipaddress.ip_address(str(peer[0])) if isinstance(peer, tuple) else None
            if address is None or not any(address in network for network in self._allowed):
                log.warning("a connection was refused: not on the list of senders")
                return False
        self._connections.add(connection)
        return True

    def forget(self, connection: _Connection) -> None:
        """Count a connection no longer."""
        self._connections.discard(connection)

    def store(self, waiting: _Waiting) -> None:
        """Put a message in line for the next group."""
        self._queue.put_nowait(waiting)

    def _group(self, first: _Waiting) -> list[_Waiting]:
        group = [first]
        size = len(first.message.raw)
        while len(group) < self.limits.group_messages and size < self.limits.group_bytes and not self._queue.empty():
            group.append(self._queue.get_nowait())
            size += len(group[-1].message.raw)
        return group

    async def _commit(self) -> None:
        """Store group after group; a group that fails is not acknowledged."""
        while True:
            group = self._group(await self._queue.get())
            try:
                acks = await self._inbox.receive([w.message for w in group])
                for waiting, ack in zip(group, acks, strict=True):
                    waiting.acknowledged.set_result(ack)
            except Exception as error:
                log.error("%d messages could not be stored: %s", len(group), type(error).__name__)  # noqa: TRY400
                for waiting in group:
                    if not waiting.acknowledged.done():
                        waiting.acknowledged.set_exception(ConnectionError("not stored"))
            finally:
                for _ in group:
                    self._queue.task_done()
