"""Known names of diseases, symptoms and drugs, and the script that compiles them: ``python -m ai.entities.lexicon DIR``.

Sources: labels of the Disease Ontology (CC0) and of its symptoms, ICD-10-CM terms (CDC/NCHS, free to use), the drugs
named in HCPCS Level II of 2019 (CMS, US government) and RxNorm names of the Synthea samples (public domain). DIR holds
the terminology files; the output is ``data/names.tsv.gz``.
"""

from __future__ import annotations

import gzip
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from ai.codes.terms import read_terms
from ai.entities.tokens import tokenize
from ai.read_resources import read_text

NAMES = Path(__file__).parent / "data" / "names.tsv.gz"
_LONGEST = 7
_SHORTEST = 3
_ASIDE = re.compile(r"\s*[\[(][^\])]*[\])]")
_TAIL = re.compile(r",? (?:unspecified|not elsewhere classified|nos|other specified)\b.*$", re.IGNORECASE)
_DOSE = re.compile(
    r"\d[\d.,]* ?(?:mg|mcg|ml|units?|hr|actuat|%|iu|meq|gm?|unt|cc|million|micrograms?|mci|\[).*$", re.IGNORECASE
)
_FORM = re.compile(
    r",?\s*\b(?:injections?|oral|tablets?|capsules?|solution|per|inhalation|for|not|up|administered|powder|topical|cream"
    r"|implant|intravenous|infusion|patch|prefilled|non-|compounded|unit|dose|extended|delayed|metered|auto|transdermal|nasal)\b.*$",
    re.IGNORECASE,
)


@cache
def names() -> dict[tuple[str, ...], str]:
    """Return each known name, as lower-cased words, with what it names: disease, symptom or drug."""
    rows = (line.split("\t") for line in read_text(NAMES).splitlines())
    return {tuple(name.split(" ")): kind for name, kind in rows}


@cache
def _lengths() -> dict[str, int]:
    longest: dict[str, int] = {}
    for words in names():
        longest[words[0]] = max(longest.get(words[0], 0), len(words))
    return longest


def matches(lowered: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Yield (first, stop, kind) of each longest known name, left to right; a plural of the last word counts too."""
    known, lengths = names(), _lengths()
    position, count = 0, len(lowered)
    while position < count:
        longest = lengths.get(lowered[position], 0) or (1 if lowered[position].endswith("s") else 0)
        for length in range(min(longest, count - position), 0, -1):
            words = tuple(lowered[position : position + length])
            kind = known.get(words) or (known.get((*words[:-1], words[-1][:-1])) if words[-1].endswith("s") else None)
            if kind:
                yield position, position + length, kind
                position += length - 1
                break
        position += 1


def _compile(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, texts in (
        ("disease", _diseases(folder)),
        ("symptom", _symptoms(folder)),
        ("drug", _drugs(folder)),
    ):
        for text in texts:
            words = [word.lower() for word in tokenize(text).words]
            name = " ".join(words)
            if 0 < len(words) <= _LONGEST and len(name) > _SHORTEST and not words[0].isdigit():
                found[name] = kind
    return found


def _diseases(folder: Path) -> Iterator[str]:
    for line in read_text(folder / "DO_HumanDO.tsv.gz").splitlines()[1:]:
        yield line.split("\t")[1].strip('"')
    for term in read_terms():
        if term.source in ("title", "inclusion") and term.code[0] not in "RSTUVWXYZ":
            yield _TAIL.sub("", _ASIDE.sub("", term.text))


def _symptoms(folder: Path) -> Iterator[str]:
    for line in read_text(folder / "DO_disease-symptom.tsv.gz").splitlines()[1:]:
        yield line.split("\t")[3]
    for term in read_terms():
        if term.source in ("title", "inclusion") and term.code[0] == "R":
            yield _TAIL.sub("", _ASIDE.sub("", term.text))


def _drugs(folder: Path) -> Iterator[str]:
    for line in read_text(folder / "rxnorm_codes_in_synthea_samples.tsv.gz").splitlines()[1:]:
        name = re.sub(r"^(?:[\d.]+ (?:ML|HR|ACTUAT|MG|Day) ?)+", "", line.split("\t")[1].strip('"'))
        yield from (_bare(part) for part in re.split(r" / | \(| \[|\]", name))
    with zipfile.ZipFile(next(folder.glob("HCPCS_*.zip"))) as archive:
        table = next(name for name in archive.namelist() if "ANWEB.txt" in name)
        for line in archive.read(table).decode("latin-1").splitlines():
            # Fixed columns: the code, a sequence number (100: the first line), and 80 characters of description.
            if re.match(r"J\d{4}00100", line):
                text = re.sub(
                    r"^(?:Injection|Inj\.?|Infusion|Inhalation solution),? ",
                    "",
                    line[11:91].strip(),
                    flags=re.IGNORECASE,
                )
                yield from (_bare(part) for part in re.split(r",| and |\(|\)", text)[:2])


def _bare(text: str) -> str:
    bare = _FORM.sub("", _DOSE.sub("", text)).strip(" ,-/")
    return bare if re.fullmatch(r"[A-Za-z][A-Za-z -]{3,40}", bare) else ""


def write_names(found: Iterable[tuple[str, str]], path: Path) -> None:
    """Write the names, sorted, so that the same sources give the same bytes."""
    text = "".join(f"{name}\t{kind}\n" for name, kind in sorted(found))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    write_names(_compile(Path(sys.argv[1])).items(), NAMES)
