"""The inbox on PostgreSQL: durable, each message once, in order within a lane, failures set apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fhir_server.errors import Conflict, PreconditionFailed
from fhir_server.jobs.inbox import MAX_ATTEMPTS
from fhir_server.operations.contract import Resource
from fhir_server.operations.feed import ContentError, FeedContext
from fhir_server.store import inbox
from mappers.hl7v2.mllp import Listener
from mappers.hl7v2.reconcile import apply
from tests.jobs.feed import TENANT, Feed, run
from tests.mappers.hl7v2.messages import PID, corpus, header, message, oru


def patient(number: int) -> str:
    """Return the PID of one of many patients."""
    return PID.replace("P1^", f"P{number}^")


def order(number: int) -> str:
    """Return an OBR with its own number."""
    return f"OBR|1||F{number}^LAB|58410-2^CBC^LN|||202603011000"


class Recorder:
    """An effect that notes control ids, and fails for those it is told to."""

    def __init__(self, *failing: str, error: Exception | None = None) -> None:
        self.failing = set(failing)
        self.error = error or ContentError("refused", "OBX^1^5")
        self.seen: list[str] = []
        self.batches: list[int] = []

    async def __call__(self, raws: Sequence[bytes], context: FeedContext) -> list[Resource]:
        """Note the messages."""
        del context
        ids = [raw.split(b"|")[9].decode() for raw in raws]
        for id_ in ids:
            if id_ in self.failing:
                raise self.error
        self.seen += ids
        self.batches.append(len(ids))
        return [{"done": id_} for id_ in ids]


def test_a_repeated_message_gets_the_same_answer_and_no_effect(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        (first,) = await feed.take(oru("1"))
        await feed.settle()
        versions = [r["meta"]["versionId"] for r in await feed.search("Observation")]
        again, within = await feed.take(oru("1"), oru("1"))
        await feed.settle()
        assert first == again == within
        assert await feed.rows() == ["processed"]
        assert [r["meta"]["versionId"] for r in await feed.search("Observation")] == versions == ["1"]

    run(dsn, story)


def test_the_same_control_id_with_other_bytes_is_another_message(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1"))
        await feed.take(oru("1", "OBX|1|NM|2345-7^Glucose^LN||6.20|mmol/L|||||F"))
        assert await feed.rows() == ["received", "received"]

    run(dsn, story)


def test_rejected_messages_and_garbage_are_kept(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        raws = [
            b"garbage \x00\xff",
            oru(patient="PID|1"),
            message(header("3", "SIU^S12"), PID),
            oru("4") + b"ZLR|kept\r",
        ]
        await feed.take(*raws)
        assert await feed.rows("raw") == raws
        assert await feed.rows() == ["rejected", "rejected", "stored", "received"]

    run(dsn, story)


def test_every_public_message_is_stored_and_answered_and_none_stops_the_lanes(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        raws = list(dict.fromkeys(raw for _, raw in corpus()))
        acks = [a for at in range(0, len(raws), 200) for a in await feed.take(*raws[at : at + 200])]
        assert len(acks) == len(raws)
        assert all(acks)
        await feed.settle()
        statuses = await feed.rows("status, error")
        assert len(statuses) == len(raws)
        assert [e for s, e in statuses if s == "quarantined"] == []
        assert "received" not in {s for s, _ in statuses}

    run(dsn, story)


def test_messages_of_a_lane_keep_their_order_and_lanes_run_side_by_side(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        for number in range(4):
            await feed.take(*(oru(f"{lane}-{number}", patient=patient(lane)) for lane in range(5)))
        effects = [Recorder(), Recorder(), Recorder()]
        await asyncio.gather(*(feed.settle(effect, batch=2) for effect in effects))
        await feed.settle(effects[0])
        seen = [id_ for effect in effects for id_ in effect.seen]
        assert sorted(seen) == sorted(f"{lane}-{number}" for lane in range(5) for number in range(4))
        times = dict(await feed.rows("control_id, processed_at"))
        for lane in range(5):
            instants = [times[f"{lane}-{number}"] for number in range(4)]
            assert instants == sorted(instants)
        assert set(await feed.rows()) == {"processed"}

    run(dsn, story)


def test_a_held_lane_is_passed_over(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1-0"), oru("1-1"), oru("2-0", patient=patient(2)))
        async with feed.database.transaction() as held:
            first = await inbox.claim(held, TENANT, 1)
            effect = Recorder()
            await feed.settle(effect)
            assert effect.seen == ["2-0"]
            assert b"|1-0|" in first[0].raw
        await feed.settle(effect)
        assert effect.seen == ["2-0", "1-0", "1-1"]

    run(dsn, story)


def test_a_failing_message_blocks_only_its_own_lane_until_it_is_replayed(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1-0"), oru("2-0", patient=patient(2)), oru("1-1"), oru("2-1", patient=patient(2)))
        effect = Recorder("1-0")
        await feed.settle(effect)
        assert effect.seen == ["2-0", "2-1"]
        assert await feed.rows("status, error") == [
            ("quarantined", "OBX^1^5: refused"),
            ("processed", None),
            ("received", None),
            ("processed", None),
        ]
        effect.failing.clear()
        async with feed.database.transaction() as session:
            assert await inbox.replay(session, TENANT, message_type="ORU^R01") == 1
        await feed.settle(effect)
        assert effect.seen[2:] == ["1-0", "1-1"]

    run(dsn, story)


def test_ignoring_frees_a_lane_and_replay_chooses(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1-0"), oru("1-1"))
        await feed.settle(Recorder("1-0"))
        (first, second) = await feed.rows("id")
        async with feed.database.transaction() as session:
            assert await inbox.ignore(session, TENANT, [first, second]) == 1
        await feed.settle(Recorder())
        assert await feed.rows() == ["ignored", "processed"]
        async with feed.database.transaction() as session:
            assert await inbox.replay(session, TENANT, ids=[first]) == 0
            assert await inbox.replay(session, TENANT, ids=[second], statuses=("processed",)) == 0
            assert await inbox.replay(session, TENANT, sender="LAB|CITY", statuses=("ignored",)) == 1

    run(dsn, story)


@pytest.mark.parametrize("error", [Conflict("busy"), PreconditionFailed("changed"), RuntimeError("defect")])
def test_a_passing_trouble_is_tried_again_and_quarantined_in_the_end(dsn: str, error: Exception) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1"))
        effect = Recorder("1", error=error)
        for _ in range(MAX_ATTEMPTS):
            assert await feed.rows() == ["received"]
            await feed.lanes(effect).process()
        assert await feed.rows("status, attempts") == [("quarantined", MAX_ATTEMPTS)]

    run(dsn, story)


def test_effect_and_status_commit_together(dsn: str) -> None:
    async def story(feed: Feed) -> None:
        await feed.take(oru("1"))

        async def half(raws: Sequence[bytes], context: FeedContext) -> list[Resource]:
            await apply(raws, context)
            raise RuntimeError("the process dies here")

        await feed.lanes(half).process()
        assert await feed.search("Patient") == []
        assert await feed.rows() == ["received"]
        await feed.settle()
        assert len(await feed.search("Patient")) == 1
        assert await feed.rows() == ["processed"]

    run(dsn, story)


def test_an_answer_lost_after_the_commit_is_given_again(dsn: str) -> None:
    """The sender's connection breaks between commit and acknowledgement; it sends again on a new one."""

    async def story(feed: Feed) -> None:
        class Breaking:
            """Stores, then loses the answers of the first group."""

            lost = 0

            async def receive(self, batch: Sequence[inbox.Arrival]) -> list[bytes]:
                acks = await feed.inbox.receive(batch)  # type: ignore[arg-type]
                if self.lost == 0:
                    self.lost = len(acks)
                    raise ConnectionError("crash")
                return acks

        listener = Listener(Breaking())
        port = await listener.start(port=0)
        sent = b"\x0b" + oru("1") + b"\x1c\r"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert b"MSA|AA|1" in await reader.readuntil(b"\x1c\r")
        writer.close()
        await listener.close()
        await feed.settle()
        assert await feed.rows() == ["processed"]
        assert len(await feed.search("Observation")) == 1

    run(dsn, story)


@pytest.mark.parametrize("workers", [1, 3])
def test_many_messages_each_take_effect_once(dsn: str, workers: int) -> None:
    async def story(feed: Feed) -> None:
        raws = [oru(f"{n}", patient=patient(n % 7), order=order(n)) for n in range(60)]
        await feed.take(*raws)
        for _ in range(20):
            await asyncio.gather(*(feed.settle(batch=5) for _ in range(workers)))
        assert await feed.rows() == ["processed"] * 60
        assert len(await feed.search("Observation")) == 60
        assert len(await feed.search("Patient")) == 7
        assert len(await feed.search("Organization")) == 1
        assert {r["meta"]["versionId"] for r in await feed.search("Patient")} == {"1"}

    run(dsn, story)
