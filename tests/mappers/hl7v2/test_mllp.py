"""The MLLP listener over real sockets, in front of an inbox that the test holds in its hands."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence

import pytest

from fhir_server.operations.feed import Received
from mappers.hl7v2.mllp import Limits, Listener
from tests.mappers.hl7v2.messages import oru

SECRET = b"Doe"


class HeldInbox:
    """An inbox that stores groups when ``open``; it can refuse them."""

    def __init__(self) -> None:
        self.groups: list[list[Received]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False

    async def receive(self, batch: Sequence[Received]) -> list[bytes]:
        """Store a group."""
        await self.open.wait()
        if self.broken:
            raise OSError("disk full")
        self.groups.append(list(batch))
        return [m.acknowledgement for m in batch]

    @property
    def raws(self) -> list[bytes]:
        """All stored messages in order."""
        return [m.raw for g in self.groups for m in g]


def block(raw: bytes) -> bytes:
    """Frame a message."""
    return b"\x0b" + raw + b"\x1c\r"


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, HeldInbox, Listener], Awaitable[None]]


def run(talk: Talk, limits: Limits | None = None, allowed: Sequence[str] = ()) -> HeldInbox:
    """Run a conversation with a listener; a conversation that hangs fails after ten seconds."""

    async def main() -> HeldInbox:
        inbox = HeldInbox()
        listener = Listener(inbox, limits=limits, allowed=[ipaddress.ip_network(a) for a in allowed])
        port = await listener.start(port=0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(10):
                await talk(reader, writer, inbox, listener)
        finally:
            writer.close()
            await listener.close()
        return inbox

    return asyncio.run(main())


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Read one acknowledgement."""
    return await reader.readuntil(b"\x1c\r")


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Read until the listener closes; returns what it said."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


def test_several_messages_in_one_read_are_answered_in_order() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener) -> None:
        writer.write(b"".join(block(oru(str(n))) for n in range(20)))
        for n in range(20):
            assert f"MSA|AA|{n}\r".encode() in await answer(reader)

    assert run(talk).raws == [oru(str(n)) for n in range(20)]


def test_a_message_in_many_small_pieces() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener) -> None:
        for at in range(0, len(block(oru())), 7):
            writer.write(block(oru())[at : at + 7])
            await asyncio.sleep(0)
        assert b"MSA|AA|1" in await answer(reader)

    assert run(talk).raws == [oru()]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"garbage\r\n" + block(oru()), [oru()]),
        (b"\x0bMSH|^~\\&|cut off" + block(oru()), [oru()]),
        (b"\x1c\r\x1c\r" + block(oru()), [oru()]),
        (oru() + b"\x1c\r", [oru().strip()]),
        (b"\x0b" + oru() + b"\x1c" + block(oru("2")), [oru(), oru("2")]),
        (block(oru() + b"NTE|1||a \x1c b"), [oru() + b"NTE|1||a \x1c b"]),
        (block(b"not a message") + block(oru()), [b"not a message", oru()]),
        (block(oru("1") + oru("2")), [oru("1"), oru("2")]),
    ],
)
def test_framing_is_found_again(sent: bytes, stored: list[bytes]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener) -> None:
        writer.write(sent)
        for _number in stored:
            await answer(reader)

    assert run(talk).raws == stored


def test_what_arrives_during_a_commit_is_stored_as_one_group() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox: HeldInbox, _: Listener) -> None:
        inbox.open.clear()
        writer.write(block(oru("0")))
        await asyncio.sleep(0.05)
        writer.write(b"".join(block(oru(str(n))) for n in range(1, 40)))
        await asyncio.sleep(0.05)
        inbox.open.set()
        for _number in range(40):
            await answer(reader)

    assert [len(g) for g in run(talk).groups] == [1, 39]


def test_nothing_is_acknowledged_that_was_not_stored() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox: HeldInbox, _: Listener) -> None:
        inbox.broken = True
        writer.write(block(oru()))
        assert await closed(reader) == b""

    assert run(talk).raws == []


def test_closing_stores_and_answers_what_has_arrived() -> None:
    async def talk(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox: HeldInbox, listener: Listener
    ) -> None:
        inbox.open.clear()
        writer.write(b"".join(block(oru(str(n))) for n in range(5)))
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(listener.close())
        await asyncio.sleep(0.05)
        inbox.open.set()
        await closing
        assert (await closed(reader)).count(b"MSA|AA|") == 5

    assert len(run(talk).raws) == 5


def test_the_size_cap() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener) -> None:
        writer.write(b"\x0b" + oru() + b"x" * 2000)
        said = await closed(reader)
        assert b"MSA|AR|" in said
        assert b"207" in said

    assert run(talk, Limits(max_bytes=1000)).raws == []


def test_connections_over_the_cap_and_strangers_are_turned_away() -> None:
    async def second(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener
    ) -> None:
        port = writer.get_extra_info("peername")[1]
        writer.write(block(oru()))
        await answer(reader)
        other, other_writer = await asyncio.open_connection("127.0.0.1", port)
        assert await closed(other) == b""
        other_writer.close()

    async def stranger(reader: asyncio.StreamReader, _w: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener) -> None:
        assert await closed(reader) == b""

    run(second, Limits(max_connections=1))
    run(stranger, allowed=["10.0.0.0/8"])


def test_silence_and_dawdling_end_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mappers.hl7v2.mllp._CHECK_SECONDS", 0.02)

    async def silent(reader: asyncio.StreamReader, _w: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener) -> None:
        assert await closed(reader) == b""

    async def dawdling(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener
    ) -> None:
        writer.write(b"\x0bMSH|")
        assert await closed(reader) == b""

    run(silent, Limits(idle_timeout=0.05))
    run(dawdling, Limits(block_timeout=0.05))


def test_a_sender_that_does_not_wait_is_slowed_down() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _inbox: HeldInbox, _: Listener) -> None:
        writer.write(b"".join(block(oru(str(n))) for n in range(100)))
        for n in range(100):
            assert f"MSA|AA|{n}\r".encode() in await answer(reader)

    assert len(run(talk, Limits(in_flight=4)).raws) == 100


def test_content_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inbox: HeldInbox, _: Listener) -> None:
        writer.write(SECRET + block(oru()))
        await answer(reader)
        inbox.broken = True
        writer.write(block(oru("2")))
        await closed(reader)

    with caplog.at_level(logging.DEBUG, logger="mappers"):
        run(talk)
    assert "outside of MLLP blocks" in caplog.text
    assert "could not be stored" in caplog.text
    assert SECRET.decode() not in caplog.text
