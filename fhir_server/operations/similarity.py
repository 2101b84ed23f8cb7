"""How alike names and dates are: Jaro-Winkler, and the slips that people make with digits.

W. E. Winkler, String Comparator Metrics and Enhanced Decision Rules in the Fellegi-Sunter Model of Record Linkage, 1990.
"""

from __future__ import annotations

import unicodedata

_PREFIX = 4
_PREFIX_WEIGHT = 0.1


def plain(text: str) -> str:
    """Return a name in lower case, without accents, spaces and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if c.isalnum())


def jaro(one: str, other: str) -> float:
    """Return the Jaro similarity of two texts, 0 to 1."""
    if one == other:
        return 1.0
    if not one or not other:
        return 0.0
    reach = max(len(one), len(other)) // 2 - 1
    taken = [False] * len(other)
    matched = []
    for place, character in enumerate(one):
        for candidate in range(max(0, place - reach), min(len(other), place + reach + 1)):
            if not taken[candidate] and other[candidate] == character:
                taken[candidate] = True
                matched.append(character)
                break
    if not matched:
        return 0.0
    there = [character for place, character in enumerate(other) if taken[place]]
    swapped = sum(a != b for a, b in zip(matched, there, strict=True)) / 2
    count = len(matched)
    return (count / len(one) + count / len(other) + (count - swapped) / count) / 3


def jaro_winkler(one: str, other: str) -> float:
    """Return the Jaro similarity, raised for texts that begin alike."""
    alike = jaro(one, other)
    prefix = 0
    for a, b in zip(one[:_PREFIX], other[:_PREFIX], strict=False):
        if a != b:
            break
        prefix += 1
    return alike + prefix * _PREFIX_WEIGHT * (1 - alike)


def transposed(date: str) -> str | None:
    """Return a full date with day and month exchanged, None where that is the same or no date."""
    year, _, rest = date.partition("-")
    month, _, day = rest.partition("-")
    return f"{year}-{day}-{month}" if day and day != month and "01" <= day <= "12" else None


def compare_dates(one: str, other: str) -> str:
    """Return how two dates agree: ``same``, ``transposed`` (parts or neighbouring digits), ``one-digit``, ``partial``, ``different``.

    ``partial`` is a date of less precision that the other one lies in.
    """
    if one == other:
        return "same"
    if len(one) != len(other):
        short, long = sorted((one, other), key=len)
        return "partial" if long.startswith(f"{short}-") else "different"
    if transposed(one) == other:
        return "transposed"
    differing = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    if len(differing) == 1:
        return "one-digit"
    digits_one, digits_other = one.replace("-", ""), other.replace("-", "")
    places = [p for p, (a, b) in enumerate(zip(digits_one, digits_other, strict=True)) if a != b]
    neighbours = len(places) == 2 and places[1] - places[0] == 1  # noqa: PLR2004 - two digits change places
    exchanged = (
        neighbours
        and digits_one[places[0]] == digits_other[places[1]]
        and (digits_one[places[1]] == digits_other[places[0]])
    )
    return "transposed" if exchanged else "different"
