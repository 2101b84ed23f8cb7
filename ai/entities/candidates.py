"""Code candidates of an entity: ICD-10-CM for conditions and symptoms, RxNorm for medications, LOINC for vital signs.

Only what a name in a code system says; an entity that no name fits has none. RxNorm names are those of the Synthea samples
(NLM, public domain); LOINC codes are those of FHIR's vital signs profile, https://hl7.org/fhir/R4/observation-vitalsigns.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from ai.codes.code_set import code_set
from ai.codes.suggestion import lexicon
from ai.codes.terms import SYSTEM as ICD
from ai.codes.words import words_of
from ai.entities.recognition import Entity
from ai.read_resources import read_text

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
LOINC = "http://loinc.org"
_DATA = Path(__file__).parent / "data" / "rxnorm.tsv"
_MOST = 3
_NEAR = 0.72
_LONGEST = 8
_WORD = re.compile(r"[a-z]{3,}|\d+(?:\.\d+)?")
_KINDS_OF_FORM = frozenset(
    [
        "acetate",
        "besylate",
        "hydrochloride",
        "sodium",
        "potassium",
        "calcium",
        "succinate",
        "tartrate",
        "sulfate",
        "hcl",
    ]
)


@dataclass(frozen=True, slots=True)
class Coding:
    """A code that an entity may mean, how near its name is, 0 to 1, and whether it has the very same words."""

    system: str
    code: str
    display: str
    score: float
    exact: bool


def candidates_of(entity: Entity, text: str) -> list[Coding]:
    """Return up to three codes for an entity of ``text``, best first; none where no name fits."""
    words = text[entity.start : entity.end]
    if entity.type in ("condition", "symptom"):
        return list(_conditions(" ".join(words.split())))
    if entity.type == "medication":
        strength = next((a.text for a in entity.attributes if a.name == "strength"), "")
        return list(_medications(words, strength))
    kind = entity.measurement.kind if entity.measurement else None
    return [Coding(LOINC, kind.code, kind.display, 1.0, exact=True)] if kind and kind.code else []


@lru_cache(maxsize=4096)
def _conditions(name: str) -> tuple[Coding, ...]:
    words = words_of(name)
    if not 0 < len(words) <= _LONGEST:
        return ()
    known, codes = lexicon(), code_set()
    found = known.exact(words, name) or [match for match in known.index.rank(words, _MOST) if match.score >= _NEAR]
    best: dict[str, Coding] = {}
    for match in found:
        code = codes.resolve(match.code)
        if code is not None:
            best.setdefault(code.code, Coding(ICD, code.code, code.display, match.score, match.exact))
    return tuple(best.values())[:_MOST]


@cache
def _names() -> list[tuple[str, str, frozenset[str]]]:
    rows = (line.split("\t", 1) for line in read_text(_DATA).splitlines())
    return [(code, name, frozenset(_WORD.findall(name.lower()))) for code, name in rows]


def _medications(name: str, strength: str) -> tuple[Coding, ...]:
    """Return the drugs whose name has every word of the mention and its strength, the shortest name first.

    A clinical drug has a strength: a mention without one names no such code.
    """
    wanted = set(_WORD.findall(name.lower())) - _KINDS_OF_FORM
    amounts = set(re.findall(r"\d+(?:\.\d+)?", strength.replace(",", "")))
    if not wanted or not amounts:
        return ()
    fitting = [(code, said) for code, said, words in _names() if wanted <= words and amounts <= words]
    fitting.sort(key=lambda pair: (len(pair[1]), pair[0]))
    return tuple(Coding(RXNORM, code, said, 1.0 / len(fitting), len(fitting) == 1) for code, said in fitting[:_MOST])
