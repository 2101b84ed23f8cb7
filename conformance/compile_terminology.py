"""Compile the shipped terminology: one pack of resources, and a concept file for each large code system.

Run after the sources changed: ``python -m conformance.compile_terminology ../shared/spec ../shared/ai/terminology``. Read are
the ValueSets, CodeSystems and ConceptMaps of FHIR 4.0.1 and of HL7 Terminology (THO, https://terminology.hl7.org), the code
systems that HL7 publishes beside them, ICD-10-CM from the package simple-icd-10-cm, and HCPCS Level II from the file of CMS.
Equal input gives equal bytes.
"""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from conformance.compile_definitions import OUTPUT, is_complete, read
from conformance.pack import write_pack
from conformance.terminology.files.write import write_concepts
from conformance.terminology.importers.hcpcs import read_hcpcs
from conformance.terminology.importers.icd10cm import read_icd10cm

Json = dict[str, Any]
ICD_10_CM = "2026"
"""The release in simple-icd-10-cm 1.5.0: fiscal year 2026, as of April 2026."""
_TYPES = ("CodeSystem", "ValueSet", "ConceptMap", "NamingSystem")
# What neither terminology operations nor a reader of a resource in a server need.
_DROPPED = frozenset(("text", "contact", "meta"))
_DROPPED_EXTENSIONS = ("structuredefinition-wg", "structuredefinition-fmm")
# Value sets name their codes, which is a fact; their words belong to the licensed release that a site imports.
_LICENSED = frozenset(("http://snomed.info/sct", "http://loinc.org", "http://www.ama-assn.org/go/cpt"))


def main(spec: Path, others: Path) -> None:
    """Compile everything from the specification's folder and the folder of other terminologies; say what came of it."""
    sys.stdout.write(f"terminology.pack: {compile_pack(spec)} resources\n")
    (hcpcs,) = others.glob("HCPCS_*.zip")
    for name, read_in in (("icd-10-cm", read_icd10cm(ICD_10_CM)), ("hcpcs", read_hcpcs(hcpcs))):
        count = write_concepts(OUTPUT / f"{name}.concepts", read_in.resource, read_in.entries)
        sys.stdout.write(f"{name}.concepts: {count} concepts\n")


def compile_pack(spec: Path) -> int:
    """Write the pack and return how many resources it has."""
    resources = [trim(resource) for resource in read_resources(spec)]
    keep_expansions(resources, spec / "r4")
    return write_pack(OUTPUT / "terminology.pack", settle_order(resources))


def read_resources(spec: Path) -> Iterator[Json]:
    """Yield the resources of FHIR, then the code systems published beside it, then those of THO."""
    for kind in ("fhir", "v3", "v2"):
        yield from read(spec / "r4", f"CodeSystem-{kind}")
        yield from read(spec / "r4", f"ValueSet-{kind}")
    yield from read(spec / "r4", "ConceptMap")
    for path in sorted((spec / "terminology").glob("CodeSystem-*.json.gz")):
        yield json.loads(gzip.decompress(path.read_bytes()))
    (package,) = (spec / "terminology").glob("hl7.terminology.r4-*.tgz")
    yield from read_package(package)


def read_package(path: Path) -> Iterator[Json]:
    """Yield the terminology resources of an npm package of HL7, by name."""
    with tarfile.open(path) as package:
        members = (m for m in package.getmembers() if m.name.split("/")[-1].split("-")[0] in _TYPES)
        for member in sorted(members, key=lambda m: m.name):
            content = package.extractfile(member)
            if content is not None and member.name.count("/") == 1:
                yield json.loads(content.read())


def trim(resource: Json) -> Json:
    """Leave out the narrative and what tells of the publication."""
    made = {name: value for name, value in resource.items() if name not in _DROPPED}
    extensions = [e for e in made.pop("extension", ()) if not e["url"].endswith(_DROPPED_EXTENSIONS)]
    for part in ("include", "exclude"):
        for selection in made.get("compose", {}).get(part, ()):
            if selection.get("system") in _LICENSED and "concept" in selection:
                selection["concept"] = [{"code": concept["code"]} for concept in selection["concept"]]
    if "contains" in made.get("expansion", {}):
        made["expansion"] = {**made["expansion"], "contains": without_words(made["expansion"]["contains"])}
    return {**made, "extension": extensions} if extensions else made


def without_words(contains: Iterable[Json]) -> list[Json]:
    """Return the entries of an expansion, those of licensed code systems without display and designations."""
    made = []
    for entry in contains:
        kept = {name: value for name, value in entry.items() if name != "contains"}
        if entry.get("system") in _LICENSED:
            kept = {name: value for name, value in kept.items() if name not in ("display", "designation")}
        if "contains" in entry:
            kept["contains"] = without_words(entry["contains"])
        made.append(kept)
    return made


def settle_order(resources: Iterable[Json]) -> list[Json]:
    """Return the resources in the order in which a pack prefers the later one of a URL.

    THO is the newer, maintained edition of what FHIR 4.0.1 also has. But a code system with all its concepts goes before
    one that only says that it exists.
    """
    return sorted(resources, key=lambda r: r.get("content", "complete") in ("complete", "supplement"))


def keep_expansions(resources: Iterable[Json], folder: Path) -> None:
    """Give each value set that selects from a code system that isn't shipped the official expansion, where there is one."""
    official = {v["url"]: v["expansion"] for v in read(folder, "ValueSet-expansions") if is_complete(v)}
    listed = list(resources)
    shipped = {r["url"] for r in listed if r["resourceType"] == "CodeSystem" and r["content"] == "complete"}
    for resource in listed:
        url = resource.get("url", "")
        if resource["resourceType"] != "ValueSet" or url not in official:
            continue
        includes = resource.get("compose", {}).get("include", ())
        if not includes or any("concept" not in i and i.get("system", url) not in {*shipped, url} for i in includes):
            expansion = official[url]
            resource["expansion"] = {**expansion, "contains": without_words(expansion["contains"])}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
