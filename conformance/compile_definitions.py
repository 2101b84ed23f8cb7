"""Compile the official FHIR 4.0.1 definitions into the small data files this package ships.

Run after the source definitions changed: ``python -m conformance.compile_definitions ../shared/spec/r4``.
The input is a folder with ``StructureDefinition-resources.ndjson.gz`` and its siblings (CC0, https://hl7.org/fhir/R4/downloads.html);
the output is ``conformance/definitions/*.json.gz``, byte-identical for identical input.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent / "definitions"
FHIR_TYPE_EXTENSION = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
REGEX_EXTENSION = "http://hl7.org/fhir/StructureDefinition/regex"
SYSTEM_TYPES = "http://hl7.org/fhirpath/System."
PROFILE_BASE = "http://hl7.org/fhir/StructureDefinition/"

OPERATIONS = frozenset(
    (
        "Composition-document",
        "Encounter-everything",
        "Observation-lastn",
        "Patient-everything",
        "Patient-match",
        "Resource-graphql",
        "Resource-meta",
        "Resource-meta-add",
        "Resource-meta-delete",
    )
)

Json = dict[str, Any]


def read(folder: Path, name: str) -> Iterator[Json]:
    """Yield the resources of one ``NAME.ndjson.gz`` of the source folder."""
    with gzip.open(folder / f"{name}.ndjson.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def write(name: str, content: Any) -> None:
    """Write one compiled file, deterministically (sorted keys are not forced: order carries meaning)."""
    raw = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    (OUTPUT / f"{name}.json.gz").write_bytes(gzip.compress(raw, 9, mtime=0))


def type_code(element: Json, type_: Json) -> str:
    """Return a type's FHIR name; System types carry theirs in an extension, and ``Resource.id`` is an ``id``."""
    code: str = type_["code"]
    if not code.startswith(SYSTEM_TYPES):
        return code
    if element["path"] == "Resource.id" or element.get("base", {}).get("path") == "Resource.id":
        return "id"
    for extension in type_.get("extension", ()):
        if extension["url"] == FHIR_TYPE_EXTENSION:
            return str(extension.get("valueUrl") or extension.get("valueUri"))
    return "string"


def compile_element(element: Json, children: set[str]) -> Json:
    """Turn one ElementDefinition of a snapshot into the few facts that structure, bindings and FHIRPath need."""
    path: str = element["path"]
    name = path.rsplit(".", 1)[1]
    out: Json = {"name": name.removesuffix("[x]")}
    if name.endswith("[x]"):
        out["choice"] = True
    if "contentReference" in element:
        out["types"] = [element["contentReference"].lstrip("#")]
    elif path in children:
        out["types"] = [path]
    else:
        out["types"] = [type_code(element, t) for t in element["type"]]
    if element["min"]:
        out["min"] = element["min"]
    if element["max"] != "1":
        out["max"] = element["max"]
    targets = sorted(
        {p.removeprefix(PROFILE_BASE) for t in element.get("type", ()) for p in t.get("targetProfile", ())}
    )
    if targets:
        out["targets"] = targets
    binding = element.get("binding", {})
    if binding.get("strength") == "required" and "valueSet" in binding:
        out["required"] = binding["valueSet"].split("|")[0]
    if element.get("isSummary"):
        out["summary"] = True
    if element.get("isModifier"):
        out["modifier"] = True
    return out


def compile_structure(definition: Json) -> dict[str, Json]:
    """Compile one StructureDefinition snapshot into its type and the backbone types inside it (named by path)."""
    elements = definition["snapshot"]["element"]
    base = definition.get("baseDefinition", "").removeprefix(PROFILE_BASE)
    if definition["kind"] == "primitive-type":
        regex = None
        for element in elements:
            for type_ in element.get("type", ()):
                for extension in type_.get("extension", ()):
                    if element["path"].endswith(".value") and extension["url"] == REGEX_EXTENSION:
                        regex = extension["valueString"]
        return {definition["type"]: {"kind": "primitive", "base": base, "regex": regex, "elements": []}}
    # Element paths that have children of their own are backbone types.
    children = {e["path"].rsplit(".", 1)[0] for e in elements if "." in e["path"]}
    kind = "resource" if definition["kind"] == "resource" else "complex"
    types: dict[str, Json] = {}
    root = {"kind": kind, "base": base, "elements": []}
    if definition.get("abstract"):
        root["abstract"] = True
    types[definition["type"]] = root
    for element in elements[1:]:
        path = element["path"]
        if path in children:
            codes = [t["code"] for t in element.get("type", ())]
            types[path] = {"kind": "backbone", "base": codes[0] if codes else "BackboneElement", "elements": []}
        types[path.rsplit(".", 1)[0]]["elements"].append(compile_element(element, children))
    return types


def flatten_concepts(concepts: list[Json]) -> Iterator[str]:
    """Yield every code of a CodeSystem's concept tree."""
    for concept in concepts:
        yield concept["code"]
        yield from flatten_concepts(concept.get("concept", []))


def expansion_codes(contains: list[Json]) -> Iterator[tuple[str, str]]:
    """Yield (system, code) of an expansion's tree."""
    for item in contains:
        if "code" in item and not item.get("abstract"):
            yield item["system"], item["code"]
        yield from expansion_codes(item.get("contains", []))


def is_complete(value_set: Json) -> bool:
    """Tell whether an expansion lists every code (the too costly ones list a sample)."""
    expansion = value_set.get("expansion", {})
    return bool(expansion.get("contains")) and not any(
        e["url"].endswith(("valueset-toocostly", "valueset-unclosed")) for e in expansion.get("extension", ())
    )


def compile_value_sets(folder: Path, wanted: set[str]) -> dict[str, list[list[str]]]:
    """Return the (system, code) pairs of each wanted value set that the definitions enumerate.

    Sets over grammars (MIME types, languages, UCUM) have no finite list and are left out; the report says which.
    """
    expansions = {v["url"]: v for v in read(folder, "ValueSet-expansions") if is_complete(v)}
    sources = {v["url"]: v for name in ("ValueSet-fhir", "ValueSet-v3", "ValueSet-v2") for v in read(folder, name)}
    systems = {
        c["url"]: c
        for name in ("CodeSystem-fhir", "CodeSystem-v3", "CodeSystem-v2")
        for c in read(folder, name)
        if c.get("content") == "complete"
    }

    def compose(url: str) -> set[tuple[str, str]] | None:
        value_set = sources.get(url)
        if value_set is None or value_set.get("compose", {}).get("exclude"):
            return None
        codes: set[tuple[str, str]] = set()
        for include in value_set["compose"]["include"]:
            if include.get("filter"):
                return None
            for imported in include.get("valueSet", ()):
                inner = compose(imported.split("|")[0])
                if inner is None:
                    return None
                codes |= inner
            if "concept" in include:
                codes |= {(include["system"], c["code"]) for c in include["concept"]}
            elif "system" in include:
                if include["system"] not in systems:
                    return None
                codes |= {(include["system"], c) for c in flatten_concepts(systems[include["system"]]["concept"])}
        return codes

    out: dict[str, list[list[str]]] = {}
    for url in sorted(wanted):
        if url in expansions:
            codes: set[tuple[str, str]] | None = set(expansion_codes(expansions[url]["expansion"]["contains"]))
        else:
            codes = compose(url)
        if codes:
            out[url] = [list(pair) for pair in sorted(codes)]
        else:
            print(f"no finite expansion: {url}", file=sys.stderr)
    return out


def compile_search_parameter(definition: Json) -> Json:
    """Keep what indexing, binding and the CapabilityStatement need of a SearchParameter."""
    keep = (
        "url",
        "code",
        "type",
        "base",
        "expression",
        "target",
        "component",
        "multipleOr",
        "multipleAnd",
        "xpathUsage",
        "description",
    )
    return {key: definition[key] for key in keep if key in definition}


def compile_operations(folder: Path) -> dict[str, Json]:
    """Return the OperationDefinitions of what this server implements, by id, without what is said about their authors."""
    dropped = ("text", "meta", "contact", "publisher", "date", "experimental")
    return {
        o["id"]: {key: value for key, value in o.items() if key not in dropped}
        for o in read(folder, "OperationDefinition")
        if o["id"] in OPERATIONS
    }


def main(folder: Path) -> None:
    """Compile everything; print what was left out and why."""
    OUTPUT.mkdir(exist_ok=True)
    types: dict[str, Json] = {}
    for name in ("StructureDefinition-types", "StructureDefinition-resources"):
        for definition in read(folder, name):
            if definition.get("derivation") != "constraint":
                types.update(compile_structure(definition))
    wanted = {e["required"] for t in types.values() for e in t["elements"] if "required" in e}
    write("structure", types)
    write("value-sets", compile_value_sets(folder, wanted))
    write(
        "search-parameters",
        [
            compile_search_parameter(p)
            for p in read(folder, "SearchParameter")
            if not p["id"].startswith("example") and "base" in p
        ],
    )
    write(
        "compartments",
        {
            c["code"]: {r["code"]: r["param"] for r in c["resource"] if r.get("param")}
            for c in read(folder, "CompartmentDefinition")
            if not c["id"].startswith("example")
        },
    )
    write("operations", compile_operations(folder))
    resources = sorted(n for n, t in types.items() if t["kind"] == "resource" and not t.get("abstract"))
    print(f"{len(types)} types, {len(resources)} resource types")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
