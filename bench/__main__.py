"""The load generator's command line: ``python -m bench run | seed | mllp | startup | scale | fhirpath | validation | all``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from bench.fhirpath import measure_fhirpath
from bench.http_client import parse_base
from bench.machine import describe_machine
from bench.mllp import measure_feed
from bench.report import document, table
from bench.scale import measure_growth, report
from bench.scenarios import SCENARIOS
from bench.seed import seed
from bench.startup import serving, worker_memory
from bench.suite import find_synthea, read_bundles, run_all, run_scenarios
from bench.validation import measure_validation


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    server = argparse.ArgumentParser(add_help=False)
    server.add_argument("--base", required=True, help="the FHIR base URL, http:// only")
    server.add_argument("--token", help="a bearer token")
    load = argparse.ArgumentParser(add_help=False)
    load.add_argument("--seconds", type=float, default=6.0, help="length of each measurement")
    load.add_argument("--connections", type=_numbers, default=[32], help="for example 1,8,32")
    load.add_argument("--out", type=Path, help="write the Markdown there")

    run = commands.add_parser("run", parents=[server, load], help="measure scenarios")
    run.add_argument("--scenarios", default=",".join(SCENARIOS), help="comma-separated, default all")
    run.add_argument("--bundles", type=Path, default=find_synthea(), help="folder or archive of transaction Bundles")
    run.add_argument("--json", type=Path, help="write the figures there")
    fill = commands.add_parser("seed", parents=[server], help="fill a server")
    fill.add_argument("--patients", type=int, default=5000)
    fill.add_argument("--visits", type=int, default=200, help="Bundles of a patient with 18 Observations")
    fill.add_argument("--bundles", type=Path, default=find_synthea(), help="folder or archive of transaction Bundles")
    feed = commands.add_parser("mllp", parents=[server], help="measure the lab feed")
    feed.add_argument("--mllp", default="127.0.0.1:2575", help="host:port of the listener")
    feed.add_argument("--messages", type=int, default=2000)
    feed.add_argument("--senders", type=int, default=8, help="connections")
    commands.add_parser("startup", help="measure the time to ready and the memory of the workers")
    everything = commands.add_parser("all", parents=[load], help="start a server of our own and measure everything")
    everything.add_argument("--messages", type=int, default=2000)
    grow = commands.add_parser("scale", help="measure how selective searches and disk change as the data grows")
    grow.add_argument("--sizes", type=_numbers, default=[100_000, 1_000_000], help="resources, ascending")
    grow.add_argument("--out", type=Path, help="write the Markdown there")
    commands.add_parser("fhirpath", help="measure search expressions and constraints, without a server")
    commands.add_parser("validation", help="measure the validation of resources, without a server")
    return parser


def _scale(options: argparse.Namespace) -> None:
    text = report(measure_growth(options.sizes))
    print(text)
    if options.out:
        options.out.write_text(text)


def _run(options: argparse.Namespace) -> None:
    names = options.scenarios.split(",")
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    base = parse_base(options.base, options.token)
    bundles = read_bundles(options.bundles) if "bundle" in names else []
    results = asyncio.run(run_scenarios(base, names, options.connections, options.seconds, bundles))
    print(table(results))
    machine = describe_machine()
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "results": [r.as_json() for r in results]}, indent=1))
    if options.out:
        options.out.write_text(document(machine, "python -m bench run", results))


def _seed(options: argparse.Namespace) -> None:
    base = parse_base(options.base, options.token)
    seeded = asyncio.run(seed(base, read_bundles(options.bundles), options.patients, options.visits))
    print(f"{seeded.requests} requests went through, {seeded.failed} failed")
    for reason in seeded.reasons:
        print(f"  {reason}")
    if seeded.failed:
        sys.exit(1)


def _mllp(options: argparse.Namespace) -> None:
    host, _, port = options.mllp.rpartition(":")
    base = parse_base(options.base, options.token)
    feed = asyncio.run(measure_feed(base, host, int(port), messages=options.messages, connections=options.senders))
    print(f"{feed.acknowledged_per_second:,.0f} messages/s acknowledged: {dict(feed.acknowledgements)}")
    print(f"{feed.mapped_per_second:,.0f} messages/s mapped and searchable: {feed.mapped} of {feed.sent}")


def _startup(_options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="praxis-bench-") as home:
        Path(home).chmod(0o755)  # PostgreSQL runs under another account when this one is root
        for what in ("new", "existing"):
            with serving(Path(home) / "data") as server:
                memory = ", ".join(f"{size:.0f}" for size in worker_memory(server.pid))
                print(
                    f"ready on a {what} data directory after {server.ready_after:.2f} s; Python processes: {memory} MB"
                )


def _all(options: argparse.Namespace) -> None:
    machine, results, figures = run_all(options.seconds, options.connections, options.messages)
    print(table(results, figures))
    if options.out:
        options.out.write_text(document(machine, "python -m bench all", results, figures))


def main() -> None:
    """Run a command."""
    try:
        import uvloop  # noqa: PLC0415 - optional: the generator also runs without
    except ImportError:
        pass
    else:
        uvloop.install()
    options = make_parser().parse_args()
    commands = {"run": _run, "seed": _seed, "mllp": _mllp, "startup": _startup, "scale": _scale, "all": _all}
    commands["fhirpath"] = lambda _options: print(measure_fhirpath())
    commands["validation"] = lambda _options: print(measure_validation())
    commands[options.command](options)


if __name__ == "__main__":
    main()
