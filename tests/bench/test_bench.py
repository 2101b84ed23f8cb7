"""The load generator counts what a real server answers, and asks what the scenarios say."""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from typing import Any
from urllib.parse import unquote

import pytest

from bench.__main__ import make_parser
from bench.content import SYSTEM, make_visit
from bench.http_client import Connection, Response, parse_base
from bench.measure import Result, measure, percentile
from bench.mllp import END, START, acknowledgement_code, make_oru, send
from bench.report import GOALS, Figure, document, table, verdict
from bench.scenarios import SCENARIOS, MissingDataError, Request, Sample, take_sample
from bench.seed import seed
from conformance.decode import check
from tests.bench.server import Seen, response, serve

BASE = parse_base("http://127.0.0.1:1/fhir")
SAMPLE = Sample(
    patients=[{"resourceType": "Patient", "id": "a", "meta": {"versionId": "1"}}], numbers=["n1"], observed=["a"]
)


def body_of(request: Request) -> Any:
    head, _, body = request.content.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert length == len(body)
    return json.loads(body)


def target_of(request: Request) -> str:
    return unquote(request.content.split(b" ", 2)[1].decode())


def test_rates_percentiles_and_errors_are_those_of_the_answers() -> None:
    def answer(_method: str, path: str, _body: bytes) -> bytes:
        return response(404, b"no such") if path.endswith("/bad") else response(200)

    async def run() -> tuple[Result, Seen]:
        async with serve(answer) as seen:
            base = parse_base(f"http://127.0.0.1:{seen.port}/fhir", "secret")
            good, bad = (Request(base.request("GET", f"/Patient/{i}")) for i in ("good", "bad"))
            requests = (r for _ in iter(int, 1) for r in (good, good, bad))
            result = await measure(base, "read", requests, connections=4, seconds=0.3, warm_up=0.05)
            return result, seen

    result, seen = asyncio.run(run())
    assert seen.connections == 4
    assert result.unit == "/s"
    assert result.requests > 0
    assert set(result.errors) == {"404"}
    assert abs(result.requests - 2 * result.errors["404"]) <= 8
    assert result.first_error == "404: no such"
    assert result.rate == pytest.approx(result.requests / result.seconds, rel=0.05)
    assert result.p50_ms is not None
    assert result.p99_ms is not None
    assert 0 < result.p50_ms <= result.p99_ms


def test_the_entries_of_bundles_are_counted_by_their_own_status() -> None:
    done = json.dumps({"entry": [{"response": {"status": s}} for s in ("201 Created", "200 OK", "404 Not Found")]})

    async def run() -> Result:
        async with serve(lambda *_: response(200, done.encode())) as seen:
            base = parse_base(f"http://127.0.0.1:{seen.port}/fhir")
            requests = iter([Request(base.request("POST", "", b"{}"), 3)] * 100_000)
            return await measure(base, "bundle_small", requests, connections=1, seconds=0.1, warm_up=0)

    result = asyncio.run(run())
    assert result.unit == "entries/s"
    assert result.rate == pytest.approx(2 * result.requests / result.seconds, rel=0.1)


@pytest.mark.parametrize(
    "answer",
    [
        response(200, b"whole", "Connection: close"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n2;x=y\r\nle\r\n0\r\n\r\n",
    ],
)
def test_every_framing_of_a_response_is_understood(answer: bytes) -> None:
    async def run() -> list[Response]:
        async with serve(lambda *_: answer) as seen:
            base = parse_base(f"http://127.0.0.1:{seen.port}")
            line = Connection(base)
            responses = [await line.send(base.request("GET", "/")) for _ in range(3)]
            line.close()
            return responses

    assert [(r.status, r.body) for r in asyncio.run(run())] == [(200, b"whole")] * 3


def test_a_dropped_connection_is_an_error_of_status_0_and_is_opened_again() -> None:
    answers = iter([None, response(200)])

    async def run() -> list[int]:
        async with serve(lambda *_: next(answers)) as seen:
            base = parse_base(f"http://127.0.0.1:{seen.port}")
            line = Connection(base)
            statuses = [(await line.send(base.request("GET", "/"))).status for _ in range(2)]
            line.close()
            return statuses

    assert asyncio.run(run()) == [0, 200]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_makes_well_framed_requests_that_differ(name: str) -> None:
    made = list(islice(SCENARIOS[name](BASE, SAMPLE, []), 40))
    assert all(r.content.startswith((b"GET /fhir", b"POST /fhir", b"PUT /fhir")) for r in made)
    if name in ("create", "bundle", "bundle_small"):
        bodies = [body_of(r) for r in made]
        numbers = {v for b in bodies for v in _numbers(b)}
        assert len(numbers) == len(made)
        for resource in bodies[:3]:
            check(resource)
        if name != "create":
            assert all(len(b["entry"]) == r.entries for b, r in zip(bodies, made, strict=True))


def _numbers(resource: dict[str, Any]) -> list[str]:
    patient = resource if resource["resourceType"] == "Patient" else resource["entry"][0]["resource"]
    return [i["value"] for i in patient["identifier"] if i["system"] == SYSTEM]


def test_an_update_sends_the_resource_without_its_meta() -> None:
    request = next(SCENARIOS["update"](BASE, SAMPLE, []))
    assert target_of(request) == "/fhir/Patient/a"
    assert set(body_of(request)) == {"resourceType", "id", "birthDate"}


def test_given_bundles_of_the_right_size_are_sent_as_they_are() -> None:
    def sized(count: int) -> bytes:
        return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [{}] * count}).encode()

    made = list(islice(SCENARIOS["bundle"](BASE, SAMPLE, [sized(99), sized(100), sized(500), sized(501)]), 4))
    assert [r.entries for r in made] == [100, 500, 100, 500]


@pytest.mark.parametrize("name", ["read", "update", "search_ident", "search_obs", "everything"])
def test_a_scenario_whose_data_is_missing_says_so(name: str) -> None:
    with pytest.raises(MissingDataError, match="bench seed"):
        next(SCENARIOS[name](BASE, Sample(), []))


def test_the_sample_comes_from_the_servers_own_answers() -> None:
    patient = {"resourceType": "Patient", "id": "p", "identifier": [{"system": SYSTEM, "value": "v"}]}
    observation = {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/p"}}

    def answer(_method: str, path: str, _body: bytes) -> bytes:
        found = patient if "/Patient" in path else observation
        return response(200, json.dumps({"entry": [{"resource": found}]}).encode())

    async def run() -> Sample:
        async with serve(answer) as seen:
            return await take_sample(parse_base(f"http://127.0.0.1:{seen.port}/fhir"))

    assert asyncio.run(run()) == Sample(patients=[patient], numbers=["v"], observed=["p"])


def test_seeding_sends_what_others_refer_to_first_and_reports_refusals() -> None:
    refers = json.dumps({"x": {"reference": "Practitioner?identifier=1"}}).encode()
    free = json.dumps({"x": 1}).encode()

    async def run() -> tuple[Any, Seen]:
        async with serve(lambda _m, _p, body: response(412 if body == refers else 200, b"told")) as seen:
            seeded = await seed(parse_base(f"http://127.0.0.1:{seen.port}/fhir"), [refers, free], 120, visits=2)
            return seeded, seen

    seeded, seen = asyncio.run(run())
    bodies = [body for _, _, body in seen.requests]
    assert bodies[:2] == [free, refers]
    assert (seeded.requests, seeded.failed, seeded.reasons) == (6, 1, ["412: told"])
    entries = [e for b in bodies[2:] for e in json.loads(b)["entry"] if e["resource"]["resourceType"] == "Patient"]
    assert len(entries) == 122
    check(json.loads(bodies[2]))


def test_a_visit_is_valid_r4() -> None:
    from random import Random  # noqa: PLC0415

    check(make_visit(Random(1), "n", 18))


def test_nearest_rank_percentiles() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, p) for p in (50, 90, 99, 100)] == [50.0, 90.0, 99.0, 100.0]
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 50) is None


def test_the_table_sets_figures_beside_goals() -> None:
    fast, slow = (
        Result("read", 32, 6.0, 100, rate, "/s", 1.0, 2.0, 3.0, errors={"500": 2}) for rate in (4500.0, 4499.0)
    )
    rows = table([fast, slow], [Figure("start_new", 5.1, "s")]).splitlines()[2:]
    assert [row.split("|")[-2].strip() for row in rows] == ["yes", "no", "no"]
    assert "2 x 500" in rows[0]
    assert "≥ 4,500/s" in rows[0]
    assert "≤ 5 s" in rows[2]
    assert verdict("no_such_scenario", 1) == ""
    assert set(GOALS) & set(SCENARIOS) >= {"read", "create", "update", "search_ident", "search_obs", "search_name"}
    text = document({"processor": "x"}, "python -m bench all", [fast])
    raw = text.split("```json\n")[1].split("```")[0]
    assert json.loads(raw)["results"][0]["rate"] == 4500.0


def test_oru_messages_carry_ten_results_and_numbers_of_their_own() -> None:
    first, second = (make_oru("R1", n).split(b"\r") for n in (1, 2))
    assert sum(s.startswith(b"OBX|") for s in first) == 10
    assert first[0].split(b"|")[9] != second[0].split(b"|")[9]
    assert first[1].split(b"|")[3] != second[1].split(b"|")[3]


def test_the_feed_waits_for_acknowledgements_and_counts_them_by_code() -> None:
    inside = peak = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal inside, peak
        try:
            while True:
                frame = await reader.readuntil(END)
                inside += 1
                peak = max(peak, inside)
                await asyncio.sleep(0.001)
                inside -= 1
                control = frame.split(b"|")[9]
                code = b"AE" if control.endswith(b"7") else b"AA"
                writer.write(START + b"MSH|^~\\&|\rMSA|" + code + b"|" + control + b"\r" + END)
        except asyncio.IncompleteReadError:
            writer.close()

    async def run() -> Any:
        listener = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with listener:
            return await send("127.0.0.1", listener.sockets[0].getsockname()[1], 50, 4, "R1")

    feed = asyncio.run(run())
    assert feed.sent == 50
    assert feed.acknowledgements == {"AA": 45, "AE": 5}
    assert peak <= 4
    assert acknowledgement_code(b"\x0bMSH|x\r\x1c\r") == "none"


@pytest.mark.parametrize("url", ["https://example.org/fhir", "example.org", ""])
def test_only_http_urls_are_taken(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        parse_base(url)


def test_the_command_line_has_every_command() -> None:
    options = make_parser().parse_args(
        ["run", "--base", "http://x/fhir", "--connections", "1,8", "--scenarios", "read"]
    )
    assert (options.connections, options.scenarios) == ([1, 8], "read")
    for command in (["seed", "--base", "http://x"], ["mllp", "--base", "http://x"], ["startup"], ["all"]):
        assert make_parser().parse_args(command).command == command[0]
