"""The documentation names what exists: files, settings, commands and operations; of search, see search/test_reference.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

import ai
from fhir_server.cli import app
from fhir_server.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^()\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """Return a page without its code blocks."""
    return FENCED.sub("", read(path))


def anchor(heading: str) -> str:
    """Return the anchor that the usual renderers give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def table_row(page: Path, first_cell: str) -> list[str]:
    """Return the cells of the one table row that begins with a cell."""
    rows = [line for line in read(page).splitlines() if line.startswith(f"| {first_cell} |")]
    assert len(rows) == 1, f"{page.name} has {len(rows)} rows for {first_cell}"
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", rows[0])[1:-1]]


def commands(group: TyperGroup, path: str = "praxis") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


def every_command() -> list[str]:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return sorted(commands(root))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, fragment = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif fragment and fragment not in {anchor(heading) for heading in HEADING.findall(prose(target))}:
            broken.append(f"{link}: no such heading")
    assert not broken


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    alias = Settings.model_fields[name].validation_alias
    variable = alias if isinstance(alias, str) else f"PRAXIS_{name.upper()}"
    cells = table_row(DOCS / "how-to" / "running.md", f"`{name}`")
    assert cells[1] == f"`{variable}`"
    default = Settings.model_fields[name].default
    if isinstance(default, (str, int, float)):
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        assert cells[2] == f"`{shown}`"
    assert cells[3]


@pytest.mark.parametrize("command", every_command())
def test_every_command_is_mentioned(command: str) -> None:
    assert any(re.search(rf"{command}\b", read(page)) for page in PAGES)


@pytest.mark.parametrize("code", [operation.definition["code"] for operation in ai.operations()])
def test_every_ai_operation_is_described(code: str) -> None:
    assert any(f"${code}" in read(page) for page in (DOCS / "ai").glob("*.md"))
