"""The FHIRPath cases of the shared suite as values: which to run, what each expects, and whether it came out.

The cases are those of https://github.com/HL7/fhirpath.js (its licence lies beside them).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from conformance.fhirpath import FHIRPathError, Long, Quantity, Temporal, evaluate

KNOWN_FAILURES = Path(__file__).with_name("known_failures.txt")
_TOLERANCE = Decimal("1e-9")


@dataclass(frozen=True)
class Case:
    """One expression with its input; ``error`` means that evaluation must raise."""

    name: str
    expression: str
    subject: Any
    base: str | None
    context: str | None
    variables: dict[str, Any] = field(hash=False)
    result: list[Any] = field(hash=False)
    error: bool
    precise: bool


def _loader(yaml: Any) -> Any:
    """Read scalars as YAML 1.2 does: dates and ``yes`` are strings. Fractions become Decimals."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        pass

    dropped = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool"}
    Loader.yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] not in dropped]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:true|false)$"), list("tf"))
    Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Decimal(loader.construct_scalar(node)))
    return Loader


def read_cases(folder: Path, yaml: Any) -> list[Case]:
    """Return the enabled cases for R4 and for no model, named ``file#number expression``."""
    cases: list[Case] = []
    for path in sorted((folder / "cases").glob("*.yaml")):
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader(yaml))
        number = 0
        for raw in _flatten(document["tests"]):
            expressions = raw["expression"] if isinstance(raw["expression"], list) else [raw["expression"]]
            for expression in expressions:
                number += 1
                if raw.get("disable") or raw.get("model") not in {None, "r4"}:
                    continue
                cases.append(_case(f"{path.stem}#{number}", expression, raw, document.get("subject"), folder))
    return cases


def _flatten(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        group = next((key for key in entry if key.startswith("group")), None)
        if group is not None:
            yield from _flatten(entry[group] or [])
        elif "expression" in entry:
            yield entry


def _case(label: str, expression: Any, raw: dict[str, Any], subject: Any, folder: Path) -> Case:
    base = None
    if isinstance(expression, dict):
        base, expression = expression["base"], expression["expression"]
    if "inputfile" in raw:
        subject = _resource(folder / "resources" / "r4" / raw["inputfile"])
    result = raw.get("result", [])
    return Case(
        name=f"{label} {' '.join(str(expression).split())}",
        expression=str(expression),
        subject=subject,
        base=base,
        context=raw.get("context"),
        variables=raw.get("variables", {}),
        result=result if isinstance(result, list) else [result],
        error=bool(raw.get("error")),
        precise=bool(raw.get("preciseMath")),
    )


@cache
def _resource(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)


def run(case: Case) -> str | None:
    """Return None if the case comes out as it should, else what happened instead."""
    resource = case.subject if isinstance(case.subject, dict) else {}
    context = None if resource or case.subject is None else case.subject
    if case.base is not None:
        resource, context = {}, case.subject
    try:
        if case.context is not None:
            context = evaluate(case.context, resource)
        found = evaluate(
            case.expression,
            resource,
            context=context,
            environment=case.variables,
            context_type=case.base,
        )
    except FHIRPathError as error:
        return None if case.error else f"raised {error}"
    if case.error:
        return f"found {found}, an error was due"
    expected = [value for value in case.result if value is not None]
    same = len(found) == len(expected) and all(_same(a, b, case.precise) for a, b in zip(found, expected, strict=True))
    return None if same else f"found {[str(value) for value in found]}"


def _same(found: Any, expected: Any, precise: bool) -> bool:
    if isinstance(found, Temporal | Long | Quantity):
        return _written(str(found)) == _written(str(expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_same(v, expected[k], precise) for k, v in found.items())
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(_same, found, expected, [precise] * len(found)))
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, int | Decimal) and isinstance(expected, int | Decimal):
        difference = abs(Decimal(found) - Decimal(expected))
        return difference == 0 if precise else difference <= _TOLERANCE * max(1, abs(Decimal(expected)))
    return bool(found == expected)


def _written(text: str) -> str:
    """Normalise a number at the start of ``text``, so that ``180.0 hours`` is ``180 hours``."""
    match = re.match(r"(-?\d+(?:\.\d+)?)(?= |$)", text)
    return f"{Decimal(match[1]).normalize():f}{text[match.end() :]}" if match else text


def known_failures() -> dict[str, str]:
    """Return the names of the cases that are known to fail, with the reason given for each."""
    found, reason = {}, ""
    for line in KNOWN_FAILURES.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            reason = line[3:]
        elif line and not line.startswith("#"):
            found[line] = reason
    return found
