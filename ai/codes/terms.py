"""The terms from which the code index is built, and the script that compiles them: ``python -m ai.codes.terms``.

Sources: ICD-10-CM of April 2026 (CDC/NCHS, free to use) as it comes with :mod:`conformance.terminology.shipped`, and labels
of the Disease Ontology with ICD-10-CM cross-references (CC0). The output is two gzipped TSV files in ``ai/codes/data``.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ai.codes.words import DATA, words_of
from ai.read_resources import UnreadableDataError, read_text
from conformance.terminology import shipped

_ASIDE = re.compile(r"\s*[\[(][^\])]*[\])]")
_BRACKETED = re.compile(r"\[([^\]]+)\]")
_LENGTH_BEFORE_SEVENTH = 6
RELEASE = "ICD-10-CM April 2026"
SYSTEM = "http://hl7.org/fhir/sid/icd-10-cm"


@dataclass(frozen=True, slots=True)
class Term:
    """Words that name a code.

    ``source``: title or inclusion (both ICD-10-CM), ontology, broader (an ontology label under the code of its nearest
    coded ancestor), or coders (learned from coded notes).
    """

    text: str
    code: str
    source: str


def read_pairs(path: Path) -> list[tuple[str, str, str]]:
    """Read Disease Ontology rows as (id, label, ICD-10-CM code); raises UnreadableDataError.

    A file with just two columns is read as (label, code); several codes make several rows.
    """
    found = []
    rows = csv.reader(io.StringIO(read_text(path)), delimiter="\t")
    header = next(rows, [])
    wide = len(header) > 2  # noqa: PLR2004 - id, label, cross-references
    for row in rows:
        if len(row) < max(len(header), 2):
            raise UnreadableDataError(f"{path}, line {rows.line_num}: {len(row)} columns, not {len(header)}")
        identity, label, code = (row[0], row[1], row[2]) if wide else (row[0], row[0], row[1])
        found += [(identity, label, one.strip().removeprefix("ICD10CM:")) for one in code.split(",") if one.strip()]
    return found


def read_parents(path: Path) -> dict[str, str]:
    """Read the ontology's label → label of its superclass."""
    rows = csv.reader(io.StringIO(read_text(path)), delimiter="\t")
    next(rows, None)
    return {row[1]: row[2] for row in rows if len(row) > 2 and row[2]}  # noqa: PLR2004


def ontology_terms(pairs: Iterable[tuple[str, str, str]], parents: dict[str, str]) -> Iterator[Term]:
    """Yield a term per coded label, and per uncoded label one with the code of its nearest coded ancestor."""
    coded: dict[str, str] = {}
    for _, label, code in pairs:
        coded.setdefault(label, code)
        yield Term(label, code, "ontology")
    for label in parents:
        above, seen = label, set()
        while above not in coded and above in parents and above not in seen:
            seen.add(above)
            above = parents[above]
        if above != label and above in coded:
            yield Term(label, coded[above], "broader")


def variants(text: str) -> Iterator[str]:
    """Yield a title's wordings: as it is, without asides in brackets, and what square brackets hold."""
    yield text
    bare = _ASIDE.sub("", text)
    if bare != text:
        yield bare
    yield from (inside for inside in _BRACKETED.findall(text) if len(words_of(inside)) <= 4)  # noqa: PLR2004


def bracketed_names(terms: Iterable[Term]) -> dict[str, frozenset[str]]:
    """Return word → spellings of the single words that are terms only as a name in square brackets.

    Such as Wells, Burns, MEN and ALL, which in another spelling are ordinary words.
    """
    terms = list(terms)
    inside = {word for term in terms for word in _BRACKETED.findall(term.text) if word != word.lower()}
    names: dict[str, set[str]] = {}
    others: set[str] = set()
    for term in terms:
        words = words_of(term.text)
        if len(words) == 1 and term.text in inside:
            names.setdefault(words[0], set()).add(term.text)
        elif len(set(words)) == 1:
            others.add(words[0])
    return {word: frozenset(spellings) for word, spellings in names.items() if word not in others}


def read_shipped_parents() -> dict[str, str]:
    """Return the ontology's label → label of its superclass, as compiled."""
    lines = gzip.decompress((DATA / "parents.tsv.gz").read_bytes()).decode("utf-8").splitlines()
    return dict(line.split("\t") for line in lines)


def read_terms() -> list[Term]:
    """Return the compiled terms."""
    lines = gzip.decompress((DATA / "terms.tsv.gz").read_bytes()).decode("utf-8").splitlines()
    return [Term(*line.split("\t")) for line in lines]


def compile_data(pairs: Path, parents: Path) -> None:
    """Write ``terms.tsv.gz`` from the shipped code system and the ontology's files."""
    system = shipped.code_system(SYSTEM)
    if system is None:
        raise FileNotFoundError(f"{SYSTEM} is missing from conformance/definitions")
    extended = system.having("seventhCharacter", ("true",))
    terms, known = [], set()
    for concept in filter(None, map(system.find, system.codes())):
        if concept.code in extended:
            continue
        known.add(concept.code)
        terms += [Term(wording, concept.code, "title") for wording in variants(concept.display or "")]
        for note in concept.designations:
            terms += [Term(wording, concept.code, "inclusion") for wording in variants(note.value)]
    terms += list(ontology_terms(read_pairs(pairs), read_parents(parents)))
    unique = dict.fromkeys(
        "\t".join((" ".join(t.text.split()), t.code, t.source)) for t in terms if t.code in known and words_of(t.text)
    )
    _write(DATA / "terms.tsv.gz", list(unique))
    _write(DATA / "parents.tsv.gz", ["\t".join(pair) for pair in read_parents(parents).items()])


def _write(path: Path, lines: list[str]) -> None:
    path.write_bytes(gzip.compress("\n".join(lines).encode("utf-8"), 9, mtime=0))


if __name__ == "__main__":
    import sys

    compile_data(Path(sys.argv[1]), Path(sys.argv[2]))
