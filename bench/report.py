"""Figures beside goals, as a Markdown table; goals are data in goals.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Result

GOALS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "goals.json").read_text())


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure that is no scenario's, such as a start-up time."""

    name: str
    value: float
    unit: str
    note: str = ""


def verdict(name: str, value: float) -> str:
    """Return ``yes`` or ``no`` by the goal of that name, empty when there is none."""
    goal = GOALS.get(name)
    if goal is None:
        return ""
    reached = value <= goal["value"] if goal.get("at_most") else value >= goal["value"]
    return "yes" if reached else "no"


def _goal(name: str) -> str:
    goal = GOALS.get(name)
    if goal is None:
        return ""
    return f"{'≤' if goal.get('at_most') else '≥'} {goal['value']:,} {goal['unit']}".replace(" /s", "/s")


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def table(results: Sequence[Result], figures: Sequence[Figure] = ()) -> str:
    """Return the Markdown table of all results."""
    lines = [
        "| scenario | connections | rate | p50 ms | p90 ms | p99 ms | errors | goal | reached |",
        "|---|--:|--:|--:|--:|--:|---|---|---|",
    ]
    for r in results:
        errors = ", ".join(f"{count} x {status}" for status, count in r.errors.items()) or "none"
        rate = f"{_amount(r.rate)} {r.unit}".replace(" /s", "/s")
        percentiles = " | ".join("-" if p is None else f"{p:,.2f}" for p in (r.p50_ms, r.p90_ms, r.p99_ms))
        lines.append(
            f"| {r.scenario} | {r.connections} | {rate} | {percentiles} | {errors} | {_goal(r.scenario)} | "
            f"{verdict(r.scenario, r.rate)} |"
        )
    lines += [
        f"| {f.name.replace('_', ' ')} | | {_amount(f.value)} {f.unit} | | | | {f.note} | {_goal(f.name)} | "
        f"{verdict(f.name, f.value)} |"
        for f in figures
    ]
    return "\n".join(lines) + "\n"


def document(machine: dict[str, str], command: str, results: Sequence[Result], figures: Sequence[Figure] = ()) -> str:
    """Return the table with machine and command before it and the raw output after it."""
    raw = json.dumps(
        {"machine": machine, "results": [r.as_json() for r in results], "figures": [_plain(f) for f in figures]},
        indent=1,
    )
    described = "\n".join(f"- {name}: {value}" for name, value in machine.items())
    return f"{described}\n- command: `{command}`\n\n{table(results, figures)}\nRaw output:\n\n```json\n{raw}\n```\n"


def _plain(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "value": figure.value, "unit": figure.unit, "note": figure.note}
