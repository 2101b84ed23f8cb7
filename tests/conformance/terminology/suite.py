"""The cases of the terminology suite as values: what each asks, what it expects, and whether it came out.

The cases are those of https://github.com/HL7/fhir-tx-ecosystem-ig (CC0). They are in R5's shapes: the properties of an
R4 expansion lie in extensions, as the suite's ``r4.md`` says, and are read back before comparing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from conformance.terminology.engine import Terminology
from conformance.terminology.errors import TerminologyError
from conformance.terminology.parameters import (
    read_expand,
    read_lookup,
    read_validate_code,
    read_validate_code_in_system,
)
from conformance.terminology.rendering import CONTAINS_PROPERTY, PROPERTY
from conformance.terminology.source import Resources

Json = dict[str, Any]

_PATTERNS = {
    "$id$": r"[A-Za-z0-9\-.]{1,64}",
    "$uuid$": r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "$instant$": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
}
# Parameters that a server may take and this one needn't know to answer as expected.
_IGNORED = frozenset(("uuid",))


@dataclass(frozen=True)
class Case:
    """A request and the response that is due; ``mode`` names the servers that a case is for, None for all."""

    name: str
    operation: str
    setup: tuple[str, ...] = field(repr=False)
    request: Json = field(hash=False, repr=False, compare=False)
    response: Json = field(hash=False, repr=False, compare=False)
    language: str | None
    fails: bool
    mode: str | None


def read_cases(folder: Path) -> list[Case]:
    """Return the cases that ask something of an operation, named uniquely (a repeated name gets a number)."""
    found: list[Case] = []
    names: dict[str, int] = {}
    for suite in _load(folder / "test-cases.json")["suites"]:
        for raw in suite["tests"]:
            if "request" not in raw:
                continue
            names[raw["name"]] = names.get(raw["name"], 0) + 1
            number = f"#{names[raw['name']]}" if names[raw["name"]] > 1 else ""
            request = _load(folder / raw["request"])
            profile = _load(folder / raw["profile"])["parameter"] if "profile" in raw else []
            parameters = {"resourceType": "Parameters", "parameter": [*request["parameter"], *profile]}
            found.append(
                Case(
                    name=f"{suite['name']}/{raw['name']}{number}",
                    operation=raw["operation"],
                    setup=tuple(suite["setup"]),
                    request=parameters,
                    response=_load(folder / raw["response"]),
                    language=raw.get("Accept-Language"),
                    fails="http-code" in raw,
                    mode=raw.get("mode"),
                )
            )
    return found


@cache
def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))


@cache
def terminology(folder: Path, setup: tuple[str, ...]) -> Terminology:
    """Return an engine that knows the resources of a suite."""
    return Terminology(Resources(_load(folder / name) for name in setup))


def answer(folder: Path, case: Case) -> tuple[int, Json]:
    """Return the HTTP status and the resource that the engine answers with."""
    engine = terminology(folder, case.setup)
    parameters = [p for p in case.request["parameter"] if p["name"] not in _IGNORED]
    if case.language is not None and not any(p["name"] == "displayLanguage" for p in parameters):
        parameters.append({"name": "displayLanguage", "valueCode": case.language})
    request = {"parameter": parameters}
    unknown: list[str]
    try:
        match case.operation:
            case "expand":
                expand, unknown = read_expand(request)
                found = engine.expand(expand)
            case "validate-code":
                validate, unknown = read_validate_code(request)
                found = engine.validate_code(validate)
            case "cs-validate-code":
                validate, unknown = read_validate_code_in_system(request)
                found = engine.validate_code_in_system(validate)
            case "lookup":
                lookup, unknown = read_lookup(request)
                found = engine.lookup(lookup)
            case other:
                return 501, {
                    "resourceType": "OperationOutcome",
                    "issue": [{"code": "not-supported", "diagnostics": other}],
                }
    except TerminologyError as error:
        return error.status, error.outcome
    assert not unknown, f"parameters that the engine doesn't know: {unknown}"
    return 200, found


def run(folder: Path, case: Case) -> list[str]:
    """Return how the answer differs from the response that is due, nothing if it doesn't."""
    status, found = answer(folder, case)
    return compare(case, status, found)


def compare(case: Case, status: int, found: Json) -> list[str]:
    """Return how an answer differs from the response of a case."""
    # 4xx is all that a case says of the status of a failure.
    if (400 <= status < 500) != case.fails:
        return [f"status {status}: {json.dumps(found)}"]
    return list(_differences(case.response, as_r5(found), ""))


def as_r5(resource: Json) -> Json:
    """Return an R4 ValueSet with the properties of its expansion where R5 has them."""
    if "expansion" not in resource:
        return resource
    expansion = dict(resource["expansion"])
    _take_properties(expansion, PROPERTY)
    if "contains" in expansion:
        expansion["contains"] = [_item_as_r5(item) for item in expansion["contains"]]
    return resource | {"expansion": expansion}


def _item_as_r5(item: Json) -> Json:
    made = dict(item)
    _take_properties(made, CONTAINS_PROPERTY)
    if "contains" in made:
        made["contains"] = [_item_as_r5(inner) for inner in made["contains"]]
    return made


def _take_properties(element: Json, url: str) -> None:
    taken, left = [], []
    for extension in element.pop("extension", ()):
        if extension["url"] != url:
            left.append(extension)
            continue
        entry: Json = {}
        for part in extension["extension"]:
            name, value = next((n, v) for n, v in part.items() if n.startswith("value"))
            entry[name if part["url"] == "value" else part["url"]] = value
        taken.append(entry)
    if left:
        element["extension"] = left
    if taken:
        element["property"] = taken


def _differences(due: Any, found: Any, where: str) -> Iterable[str]:
    if isinstance(due, dict):
        if not isinstance(found, dict):
            return [f"{where}: {found!r} isn't an object"]
        return _in_object(due, found, where)
    if isinstance(due, list):
        if not isinstance(found, list):
            return [f"{where}: {found!r} isn't a list"]
        return _in_list(due, found, where)
    if isinstance(due, str) and due.startswith("$") and due.endswith("$") and len(due) > 1:
        return [] if _meets(due, found) else [f"{where}: {found!r} isn't as {due}"]
    same = due == found and isinstance(due, bool) == isinstance(found, bool)
    return [] if same else [f"{where}: {found!r}, due is {due!r}"]


def _in_object(due: Json, found: Json, where: str) -> list[str]:
    optional = set(due.get("$optional-properties$", ()))
    names = [
        name
        for name in due
        if (not name.startswith("$") and name != "text") or (name == "text" and "div" not in str(due[name]))
    ]
    wrong: list[str] = []
    for name in names:
        if name in found:
            wrong += _differences(due[name], found[name], f"{where}.{name}")
        elif name not in optional and not _all_optional(due[name]):
            wrong.append(f"{where}: {name} is missing, due is {json.dumps(due[name])[:300]}")
    extra = [name for name in found if name not in due and name not in optional]
    wrong += [f"{where}: {name} is too much: {json.dumps(found[name])[:300]}" for name in extra]
    return wrong


def _all_optional(due: Any) -> bool:
    """Tell whether nothing in a list has to be there, so that the list needn't be there itself."""
    return (isinstance(due, list) and all(_optional(item) for item in due)) or _optional(due)


def _optional(due: Any) -> bool:
    # "!mode" is optional unless the server is of a mode, "warning:…" optional with a warning.
    return isinstance(due, dict) and bool(due.get("$optional$"))


def _in_list(due: list[Any], found: list[Any], where: str) -> list[str]:
    left = list(found)
    missing: list[Any] = []
    # What has to be there chooses first.
    for item in sorted(due, key=_optional):
        fitting = next((f for f in left if not list(_differences(item, f, ""))), None)
        if fitting is None:
            missing += [] if _optional(item) else [item]
        else:
            left.remove(fitting)
    wrong = [f"{where}: nothing is as {json.dumps(item)[:600]}" for item in missing]
    return wrong + [f"{where}: too much: {json.dumps(item)[:600]}" for item in left]


def _meets(pattern: str, found: Any) -> bool:
    """Tell whether a value is as a pattern; of texts that each server words itself only the stated part is due."""
    if pattern in _PATTERNS:
        return isinstance(found, str) and re.fullmatch(_PATTERNS[pattern], found) is not None
    kind, _, rest = pattern[1:-1].partition(":")
    match kind:
        case "external":
            return isinstance(found, str) and rest.partition(":")[2] in found
        case "choice":
            return found in rest.split("|")
        case "fragments":
            return isinstance(found, str) and all(part in found for part in rest.split("|"))
    return False
