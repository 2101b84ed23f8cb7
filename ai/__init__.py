"""AI operations: trained, measured, and marked as such in everything they return.

``operations()`` is what the composition root asks for. Importing this package loads no model and no numerical
library; each operation does that when it is first called. https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhir_server.operations.contract import Context, Handler, Invocation, Operation, Resource

__all__ = ["operations"]

_PACKAGES = ("no_show", "codes", "entities")


def operations(models: Path | None = None) -> tuple[Operation, ...]:
    """Return every AI operation; ``models`` is the folder where this site's own trained models lie, if it has one."""
    from fhir_server.operations.contract import Operation  # noqa: PLC0415 - keeps `import ai` free of the server

    return tuple(
        Operation(definition=_definition(package), handler=_deferred(package, models)) for package in _PACKAGES
    )


def _definition(package: str) -> Resource:
    text = (Path(__file__).parent / package / "operation-definition.json").read_text(encoding="utf-8")
    definition: Resource = json.loads(text)
    return definition


def _deferred(package: str, models: Path | None) -> Handler:
    async def answer(invocation: Invocation, context: Context) -> Resource:
        operation = import_module(f"ai.{package}.operation")
        resource: Resource = await operation.answer(invocation, context, models)
        return resource

    return answer
