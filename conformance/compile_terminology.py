"""Compile the ValueSets and CodeSystems of FHIR 4.0.1 into the one file that :mod:`conformance.terminology.official` reads.

Run after the source definitions changed: ``python -m conformance.compile_terminology ../shared/spec/r4`` (CC0,
https://hl7.org/fhir/R4/downloads.html). Kept is what says which codes there are: no displays, no designations. A value set
that its own ``compose`` can't be expanded from, since a code system isn't part of FHIR, keeps its official expansion.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from conformance.compile_definitions import is_complete, read, write
from conformance.expansion import UnexpandableError, expand

Json = dict[str, Any]
# Facts about a concept's place in its life, which no filter of the specification asks for.
_DROPPED = frozenset(("status", "deprecationDate", "notSelectable"))


def trim_concept(concept: Json) -> Json:
    """Keep a concept's code, its properties and what is below it."""
    made: Json = {"code": concept["code"]}
    properties = [p for p in concept.get("property", ()) if p["code"] not in _DROPPED]
    if properties:
        made["property"] = properties
    if concept.get("concept"):
        made["concept"] = [trim_concept(inner) for inner in concept["concept"]]
    return made


def trim_code_system(code_system: Json) -> Json:
    """Keep what identifies a code system, its hierarchy and its concepts if they are all there."""
    keep = ("url", "version", "content", "hierarchyMeaning")
    made: Json = {name: code_system[name] for name in keep if name in code_system}
    if code_system["content"] == "complete":
        made["concept"] = [trim_concept(concept) for concept in code_system.get("concept", ())]
    return made


def trim_part(part: Json) -> Json:
    """Keep what an include or exclude selects."""
    made: Json = {name: part[name] for name in ("system", "version", "filter", "valueSet") if name in part}
    if "concept" in part:
        made["concept"] = [{"code": concept["code"]} for concept in part["concept"]]
    return made


def trim_value_set(value_set: Json) -> Json:
    """Keep what identifies a value set, and its compose."""
    made: Json = {name: value_set[name] for name in ("url", "version") if name in value_set}
    compose = value_set.get("compose")
    if compose:
        made["compose"] = {
            name: [trim_part(part) for part in compose[name]] for name in ("include", "exclude") if name in compose
        }
    return made


def trim_contains(contains: list[Json]) -> list[Json]:
    """Keep the codes of an expansion."""
    made: list[Json] = []
    for item in contains:
        kept: Json = {name: item[name] for name in ("system", "code", "abstract") if name in item}
        if item.get("contains"):
            kept["contains"] = trim_contains(item["contains"])
        made.append(kept)
    return made


def main(folder: Path) -> None:
    """Compile everything; print which value sets have no finite list of codes."""
    kinds = ("fhir", "v3", "v2")
    systems = {c["url"]: trim_code_system(c) for kind in kinds for c in read(folder, f"CodeSystem-{kind}")}
    value_sets = {v["url"]: trim_value_set(v) for kind in kinds for v in read(folder, f"ValueSet-{kind}")}
    expansions = {v["url"]: v["expansion"] for v in read(folder, "ValueSet-expansions") if is_complete(v)}
    known = {"CodeSystem": systems, "ValueSet": value_sets}
    for url, value_set in value_sets.items():
        try:
            whole = not all(code for _, code in expand(value_set, lambda kind, c: known[kind].get(c.partition("|")[0])))
        except UnexpandableError as reason:
            whole = True
            if url not in expansions:
                sys.stderr.write(f"{url}: {reason}\n")
        if whole and url in expansions:
            value_set.pop("compose", None)
            value_set["expansion"] = {"contains": trim_contains(expansions[url]["contains"])}
    write("terminology", {name: list(resources.values()) for name, resources in known.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
