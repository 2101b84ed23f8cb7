"""The evidence that two Patients are one person, after Fellegi and Sunter (A Theory for Record Linkage, JASA 64, 1969).

Each field agrees at some level; a level's evidence is m/u, how probable it is among records of one person over how probable
among records of two. With the prior odds, the product is the odds of a match. The figures are data: match-weights.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from math import exp, log
from typing import Any

from fhir_server.operations.contract import Resource
from fhir_server.operations.definitions import load
from fhir_server.operations.similarity import compare_dates, jaro_winkler, plain

_PHONE_DIGITS = 9
_NOT_DIGIT = re.compile(r"\D")


@dataclass(frozen=True, slots=True)
class Weights:
    """Log evidence by field and level, the log prior odds, and from which probability on a match has a grade.

    ``household`` are the fields that people who live together share.
    """

    evidence: Mapping[str, Mapping[str, float]]
    prior: float
    grades: Mapping[str, float]
    household: tuple[str, ...]
    close: float
    similar: float


@cache
def weights() -> Weights:
    """Return the figures of match-weights.json."""
    raw = load("match-weights")
    return Weights(
        evidence={
            field: {level: log(p["m"] / p["u"]) for level, p in levels.items()}
            for field, levels in raw["fields"].items()
        },
        prior=log(raw["prior"] / (1 - raw["prior"])),
        grades=raw["grades"],
        household=tuple(raw["household"]),
        close=raw["similarity"]["close"],
        similar=raw["similarity"]["similar"],
    )


def identifiers(patient: Resource) -> set[tuple[str, str]]:
    """Return (system, value) of the identifiers."""
    return {(i.get("system", ""), i["value"]) for i in patient.get("identifier", ()) if "value" in i}


def families(patient: Resource) -> list[str]:
    """Return every family name as given."""
    return [name["family"] for name in patient.get("name", ()) if "family" in name]


def givens(patient: Resource) -> list[str]:
    """Return the first given name of every name."""
    return [name["given"][0] for name in patient.get("name", ()) if name.get("given") and name["given"][0]]


def postal_codes(patient: Resource) -> set[str]:
    """Return the postal codes without spaces, of US codes the first five digits."""
    codes = (plain(a["postalCode"]) for a in patient.get("address", ()) if "postalCode" in a)
    return {code[:5] if code.isdigit() else code for code in codes if code}


def _lines(patient: Resource) -> list[str]:
    return [plain(line) for a in patient.get("address", ()) for line in a.get("line", ())[:1] if line]


def telecoms(patient: Resource) -> set[str]:
    """Return telephone numbers by their last digits and everything else in lower case."""
    found = set()
    for contact in patient.get("telecom", ()):
        if "value" in contact:
            digits = _NOT_DIGIT.sub("", contact["value"])
            is_number = contact.get("system") in ("phone", "sms", "fax", "pager") and digits
            found.add(digits[-_PHONE_DIGITS:] if is_number else contact["value"].casefold())
    return found


def _any_shared(one: set[Any], other: set[Any]) -> str | None:
    return None if not one or not other else "same" if one & other else "different"


def _compare_identifiers(one: Resource, other: Resource) -> str | None:
    """Identifiers disagree only where both records have one of the same system: else they say nothing."""
    mine, theirs = identifiers(one), identifiers(other)
    if mine & theirs:
        return "same"
    return "different" if {s for s, _ in mine if s} & {s for s, _ in theirs if s} else None


def _best_name(mine: Iterable[str], theirs: Iterable[str], *, initials: bool) -> str | None:
    """Return the best level that any two names agree at."""
    order = ("same", "close", "initial", "similar", "different")
    levels = [_compare_name(plain(a), plain(b), initials=initials) for a in mine for b in theirs]
    return min(levels, key=order.index, default=None)


def _compare_name(one: str, other: str, *, initials: bool) -> str:
    if one == other:
        return "same"
    if initials and min(len(one), len(other)) == 1 and one[:1] == other[:1]:
        return "initial"
    alike = jaro_winkler(one, other)
    return "close" if alike >= weights().close else "similar" if alike >= weights().similar else "different"


def _compare_lines(one: Resource, other: Resource) -> str | None:
    levels = [_compare_name(a, b, initials=False) for a in _lines(one) for b in _lines(other)]
    if not levels:
        return None
    return "same" if "same" in levels else "close" if "close" in levels else "different"


def _compare_birth_dates(one: Resource, other: Resource) -> str | None:
    if "birthDate" not in one or "birthDate" not in other:
        return None
    return compare_dates(one["birthDate"], other["birthDate"])


def _compare_codes(name: str) -> Callable[[Resource, Resource], str | None]:
    def compare(one: Resource, other: Resource) -> str | None:
        if one.get(name, "unknown") == "unknown" or other.get(name, "unknown") == "unknown":
            return None
        return "same" if one[name] == other[name] else "different"

    return compare


COMPARISONS: Mapping[str, Callable[[Resource, Resource], str | None]] = {
    "identifier": _compare_identifiers,
    "family": lambda a, b: _best_name(families(a), families(b), initials=False),
    "given": lambda a, b: _best_name(givens(a), givens(b), initials=True),
    "birthDate": _compare_birth_dates,
    "gender": _compare_codes("gender"),
    "telecom": lambda a, b: _any_shared(telecoms(a), telecoms(b)),
    "postalCode": lambda a, b: _any_shared(postal_codes(a), postal_codes(b)),
    "line": _compare_lines,
    "multipleBirth": _compare_codes("multipleBirthInteger"),
}
"""Field → the level at which two Patients agree in it, or None where it is no evidence."""


def compare(one: Resource, other: Resource) -> Iterator[tuple[str, str]]:
    """Yield (field, level) for every field that both Patients have."""
    for field, level_of in COMPARISONS.items():
        level = level_of(one, other)
        if level is not None:
            yield field, level


def probability(one: Resource, other: Resource) -> float:
    """Return the probability that two Patients are one person, 0 to 1."""
    figures = weights()
    levels = dict(compare(one, other))
    evidence = {field: figures.evidence[field][level] for field, level in levels.items()}
    if levels.get("given") == "different" and levels.get("identifier") != "same":
        # Twins, siblings and spouses share these: that they agree says nothing when the given names differ.
        evidence |= {field: min(evidence[field], 0.0) for field in figures.household if field in evidence}
    odds = figures.prior + sum(evidence.values())
    return 1 / (1 + exp(-odds)) if odds > 0 else exp(odds) / (1 + exp(odds))


def grade(chance: float) -> str:
    """Return the match-grade of a probability, https://hl7.org/fhir/R4/valueset-match-grade.html."""
    return next((name for name, least in weights().grades.items() if chance >= least), "certainly-not")
