"""The OperationDefinitions of the server's own operations: the official ones, and ours where R4 has none."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from conformance.definitions import operation_definitions
from fhir_server.operations.contract import Resource


@cache
def load(name: str) -> Any:
    """Return what a JSON file of the folder ``data`` holds."""
    return msgspec.json.decode((files(__package__) / "data" / f"{name}.json").read_bytes())


def official(id_: str, *, affects_state: bool = False) -> Resource:
    """Return the OperationDefinition of the specification, such as ``Patient-everything``.

    It doesn't say which operations change data; ``affects_state`` adds that, so that GET is refused.
    """
    return {**operation_definitions()[id_], **({"affectsState": True} if affects_state else {})}
