"""The policy on references: nothing writes past it."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

import fhir_server
from fhir_server import feed
from fhir_server.errors import Unprocessable
from fhir_server.settings import Settings
from fhir_server.store.database import Database

FOLDER = Path(fhir_server.__file__).parent
GUARDED = {
    ("fhir_server.store.write", "write"),
    ("fhir_server.store.amend", "amend"),
    ("fhir_server.store.copy", "copy_new"),
}
"""The functions of the store that make content current."""


def _importers() -> Iterator[str]:
    """Yield each module outside the store that imports one of them, or all of their modules."""
    for file in FOLDER.rglob("*.py"):
        if file.is_relative_to(FOLDER / "store"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = {(node.module or "", alias.name) for alias in node.names}
                whole = {(f"{node.module}.{alias.name}", name) for alias in node.names for _, name in GUARDED}
            elif isinstance(node, ast.Import):
                names, whole = set(), {(alias.name, name) for alias in node.names for _, name in GUARDED}
            else:
                continue
            if (names | whole) & GUARDED:
                yield file.relative_to(FOLDER).as_posix()


def test_only_one_module_makes_content_current() -> None:
    assert set(_importers()) == {"interactions/commit.py"}


@pytest.mark.parametrize("policy", ["allow", "enforce"])
def test_the_feed_is_held_to_the_servers_policy(dsn: str, policy: Literal["allow", "enforce"]) -> None:
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/nobody"},
    }
    entry = {"resource": resource, "request": {"method": "POST", "url": "Observation"}}

    async def write() -> None:
        database = Database(dsn, max_connections=2)
        await database.open()
        try:
            async with feed.units(Settings(referential_integrity=policy), database)() as unit:
                await unit.context.write({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
        finally:
            await database.close()

    if policy == "allow":
        asyncio.run(write())
        return
    with pytest.raises(Unprocessable) as refused:
        asyncio.run(write())
    assert refused.value.issues[0].expression == "Bundle.entry[0].resource.subject.reference"
