"""The OperationDefinitions of the terminology operations, https://hl7.org/fhir/R4/terminology-service.html.

They are the official ones, and take and give besides what terminology clients of today send and expect, see
:mod:`conformance.terminology.parameters`: the file ``terminology-parameters`` lists it by operation, ``*`` for any number.
"""

from __future__ import annotations

from typing import Any

from conformance.structures import find_definition
from fhir_server.operations.contract import Resource
from fhir_server.operations.definitions import load

_BASE = "http://hl7.org/fhir/OperationDefinition/"


def definition_of(id_: str, *, affects_state: bool = False) -> Resource:
    """Return a definition such as ``ValueSet-expand``, with its further parameters; GET is refused if it changes data."""
    official = find_definition("OperationDefinition", _BASE + id_)
    if official is None:
        raise LookupError(f"FHIR has no operation {id_}")
    parameters = [*official["parameter"]]
    for use, further in load("terminology-parameters").get(id_, {}).items():
        for name, kind in further.items():
            _add(parameters, use, name, kind)
    return {**official, "parameter": parameters, "affectsState": affects_state}


def _add(parameters: list[dict[str, Any]], use: str, name: str, kind: str) -> None:
    """Add a parameter, or by the name ``parameter.part`` a part of one."""
    owner, dot, part = name.partition(".")
    declared = {"name": part or name, "use": use, "min": 0, "max": "*" if kind.endswith("*") else "1"}
    declared["type"] = kind.removesuffix("*")
    if not dot:
        parameters.append(declared)
        return
    number = next(n for n, p in enumerate(parameters) if (p["use"], p["name"]) == (use, owner))
    parameters[number] = {**parameters[number], "part": [*parameters[number]["part"], declared]}
