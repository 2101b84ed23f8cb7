"""Annotated corpora: PubTator (https://www.ncbi.nlm.nih.gov/research/pubtator/) and brat standoff in a tar.

Each becomes documents with typed spans. Types are mapped to those of a scheme; what a scheme doesn't know is left out.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ai.read_resources import UnreadableDataError, read_text

_HEAD = re.compile(r"^([^|\t]+)\|([ta])\|(.*)$")
_COLUMNS = 5
_MOST_SHIFTED = 0.02
_MOST_BYTES = 200_000_000
_DISEASES = ("Disease", "SpecificDisease", "DiseaseClass", "Modifier", "CompositeMention")
TYPES = {
    "chemical-disease": {"Chemical": "chemical", "Disease": "disease"},
    "disease": dict.fromkeys(_DISEASES, "disease"),
    "case-report": {
        "Disease_disorder": "condition",
        "Medication": "medication",
        "Diagnostic_procedure": "procedure",
        "Therapeutic_procedure": "procedure",
        "Biological_structure": "anatomy",
        "Sign_symptom": "symptom",
    },
}


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """``text[start:end]`` of a document is something of this type."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text and the mentions that its annotators marked."""

    id: str
    text: str
    mentions: tuple[Mention, ...]


def read_pubtator(path: Path) -> tuple[str, list[Document]]:
    """Return the scheme (told by the types) and the documents of a PubTator file; raises UnreadableDataError.

    Title and abstract are joined by one character, as the offsets of the format assume.
    """
    texts: dict[str, dict[str, str]] = {}
    rows: dict[str, list[tuple[int, int, str, str]]] = {}
    for number, line in enumerate(read_text(path).replace("\r\n", "\n").split("\n"), 1):
        head = _HEAD.match(line)
        cells = line.split("\t")
        if head:
            texts.setdefault(head[1], {})[head[2]] = head[3]
        elif len(cells) >= _COLUMNS and cells[1].isdigit() and cells[2].isdigit():
            rows.setdefault(cells[0], []).append((int(cells[1]), int(cells[2]), cells[3], cells[4]))
        elif line.strip() and len(cells) == 1:
            raise UnreadableDataError(f"{path}, line {number}: neither a text nor an annotation")
    if not texts:
        raise UnreadableDataError(f"{path}: no documents in PubTator format")
    scheme = "chemical-disease" if any(row[3] == "Chemical" for found in rows.values() for row in found) else "disease"
    documents = []
    shifted = 0
    for name, parts in texts.items():
        text = f"{parts.get('t', '')} {parts.get('a', '')}"
        shifted += sum(text[s:e].split() != written.split() for s, e, written, _ in rows.get(name, ()))
        documents.append(Document(name, text, _mentions(((s, e, t) for s, e, _, t in rows.get(name, ())), scheme)))
    # The published files have a few wrong rows; many mean that the offsets are not of this text.
    if shifted > _MOST_SHIFTED * sum(map(len, rows.values())):
        raise UnreadableDataError(f"{path}: {shifted} annotations do not have the text at their offsets")
    return scheme, documents


def read_brat(path: Path) -> list[Document]:
    """Return the documents of a tar with brat's .txt and .ann; raises UnreadableDataError.

    A mention in several pieces counts from the first to the last character.
    """
    files: dict[str, str] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith((".txt", ".ann")) and member.size < _MOST_BYTES:
                    content = archive.extractfile(member)
                    if content is not None:
                        files[member.name] = io.TextIOWrapper(content, "utf-8", newline="").read()
    except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError) as error:
        raise UnreadableDataError(f"{path}: {error}") from error
    documents = []
    for name in sorted(files):
        stem = name.removesuffix(".txt")
        if name.endswith(".txt") and f"{stem}.ann" in files:
            spans = (span for span in map(_brat_span, files[f"{stem}.ann"].splitlines()) if span)
            documents.append(Document(stem.rpartition("/")[2], files[name], _mentions(spans, "case-report")))
    if not documents:
        raise UnreadableDataError(f"{path}: no pairs of .txt and .ann")
    return documents


def _brat_span(line: str) -> tuple[int, int, str] | None:
    cells = line.split("\t")
    if not line.startswith("T") or len(cells) < 3:  # noqa: PLR2004 - id, type with offsets, text
        return None
    kind, _, offsets = cells[1].partition(" ")
    numbers = [int(number) for number in re.findall(r"\d+", offsets)]
    return (min(numbers), max(numbers), kind) if numbers else None


def _mentions(spans: Iterable[tuple[int, int, str]], scheme: str) -> tuple[Mention, ...]:
    kinds = TYPES[scheme]
    return tuple(sorted({Mention(start, end, kinds[kind]) for start, end, kind in spans if kind in kinds}))
