"""Compile UCUM's ``ucum-essence.xml`` into the data file this package ships, https://ucum.org/ucum.

Run after the source changed: ``python -m conformance.ucum.compile_essence ../shared/spec/terminology/ucum-essence.xml``.
The output, ``essence.json.gz``, is byte-identical for identical input. NOTICE.md says whose work it is.
"""

from __future__ import annotations

import gzip
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parent / "essence.json.gz"
_NS = {"u": "http://unitsofmeasure.org/ucum-essence"}


def compile_essence(source: Path) -> dict[str, Any]:
    """Return prefixes with their values, the base units, and for all others what they are made of."""
    root = ET.parse(source).getroot()  # noqa: S314 - a file that we chose
    return {
        "version": root.attrib["version"],
        "prefixes": {p.attrib["Code"]: _value(p).attrib["value"] for p in root.findall("u:prefix", _NS)},
        "base": [b.attrib["Code"] for b in root.findall("u:base-unit", _NS)],
        "units": {u.attrib["Code"]: _compile_unit(u) for u in root.findall("u:unit", _NS)},
    }


def _value(element: ET.Element) -> ET.Element:
    value = element.find("u:value", _NS)
    if value is None:
        raise ValueError(f"{element.attrib['Code']} has no value")
    return value


def _compile_unit(unit: ET.Element) -> dict[str, Any]:
    value = _value(unit)
    function = value.find("u:function", _NS)
    given = value if function is None else function
    made: dict[str, Any] = {"value": given.attrib["value"], "unit": given.attrib["Unit"]}
    if function is not None:
        made["function"] = function.attrib["name"]
    for flag in ("isMetric", "isArbitrary"):
        if unit.attrib.get(flag) == "yes":
            made[flag.removeprefix("is").lower()] = True
    return made


if __name__ == "__main__":
    content = json.dumps(compile_essence(Path(sys.argv[1])), ensure_ascii=False, separators=(",", ":"))
    OUTPUT.write_bytes(gzip.compress(content.encode(), 9, mtime=0))
