"""Search values made from values in resources, changed a little at times: a text for each parameter type.

https://hl7.org/fhir/R4/search.html#ptypes. Each returns (modifier or None, text still to be joined by commas, features).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from tests.search.oracle import numbers, strings, tokens
from tests.search.oracle.pools import (
    CITIES,
    CODINGS,
    CURRENCIES,
    DATE_TIMES,
    DECIMALS,
    DURATIONS,
    FAMILIES,
    HIERARCHIES,
    IDENTIFIER_TYPES,
    INSTANTS,
    UCUM,
    UNITS,
    URIS,
)
from tests.search.oracle.references import local, target
from tests.search.oracle.resources import VALUE_SETS
from tests.search.oracle.written import PREFIXES, escape

Pair = tuple[str, Any]
LONGEST = 80


def string(random: Random, modifier: str | None, pair: Pair) -> str:
    """Return part of a string, its case and accents changed at times."""
    text = random.choice(strings.strings(*pair) or FAMILIES + CITIES)
    if len(text) > LONGEST and modifier != "exact":
        # Long values are searched by what a client would type of them.
        text = random.choice((text[:LONGEST], text[LONGEST : 2 * LONGEST])) if modifier else text[:LONGEST]
    if modifier == "exact":
        return escape(random.choice((text, text, text.lower(), text[:-1] or text)))
    start = random.randrange(len(text)) if modifier == "contains" else 0
    part = text[start : start + random.randrange(1, len(text) + 2)].strip() or text
    change: Callable[[str], str] = random.choice((str, str, str.upper, str.lower, _without_accents))
    return escape(change(part))


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def token(random: Random, modifier: str | None, pair: Pair, implied: str | None) -> str:
    """Return a code in one of its forms."""
    match modifier:
        case "text" | "code-text":
            texts = tokens.texts(*pair) or [c["display"] for c in CODINGS if "display" in c]
            return string(random, None, ("string", random.choice(texts)))
        case "in" | "not-in":
            return random.choice(list(VALUE_SETS))
        case "above" | "below":
            system = random.choice(list(HIERARCHIES))
            return f"{system}|{random.choice(list(HIERARCHIES[system]))}"
        case "of-type":
            code = "MR" if random.random() < 0.3 else pair[1].get("type", {}).get("coding", [{"code": "DL"}])[0]["code"]
            return f"{IDENTIFIER_TYPES}|{code}|{escape(pair[1].get('value', '1001'))}"
    found = [t for t in tokens.tokens(*pair, implied) if t.code or t.system]
    chosen = random.choice(found or [tokens.Token(c.get("system"), c.get("code")) for c in CODINGS[:5]])

    if pair[0] == "ContactPoint":
        return escape(chosen.code or "")
    forms = [f"{escape(chosen.system)}|" if chosen.system else ""]
    if chosen.code:
        forms = [
            escape(chosen.code),
            escape(chosen.code),
            f"{escape(chosen.system or '')}|{escape(chosen.code)}",
            *forms,
        ]
        forms += [f"|{escape(chosen.code)}", f"http://nowhere.example|{escape(chosen.code)}"]
    return random.choice([form for form in forms if form])


def reference(random: Random, modifier: str | None, pair: Pair, base_url: str) -> str:
    """Return an id, ``Type/id`` or URL, or the identifier of a logical reference."""
    value = pair[1]
    if modifier in ("text", "code-text"):
        display = value.get("display", "ward 3") if isinstance(value, dict) else "ward 3"
        return string(random, None, ("string", display))
    if modifier == "identifier":
        identifier = value.get("identifier") if isinstance(value, dict) else None
        return token(
            random, None, ("Identifier", identifier or {"system": "http://ids.example/mrn", "value": "10"}), None
        )
    has = local(value, base_url)
    if has is None:
        text = target(value) or "#"
        # Nobody can ask for a resource inside of another by its reference.
        return "Organization/a1" if text.startswith("#") or modifier in ("above", "below") else escape(text)
    type_, _, id_ = has.partition("/")
    if modifier in ("above", "below"):
        return has
    if modifier:
        return id_
    return random.choice((has, has, id_, f"{base_url}/{has}", f"{type_}/a{random.randrange(12)}"))


def date(random: Random, pair: Pair) -> str:
    """Return a prefix and a date: of the resource or another, as it is or less precise."""
    value = pair[1]
    own = [value] if isinstance(value, str) else [v for v in (value.get("start"), value.get("end")) if v]
    own += value.get("event", []) if isinstance(value, dict) else []
    text = random.choice(own) if own and random.random() < 0.7 else random.choice(DATE_TIMES)
    if "T" in text:
        text = random.choice((text, text, text[:10], text[:7], f"{text[:16]}Z", text[:16], random.choice(INSTANTS)))
    elif random.random() < 0.4:
        text = random.choice((text[:4], text[:7]))
    prefix = _prefix(random)
    # What is about now depends on when the server is asked.
    return ("ge" if prefix == "ap" and pair[0] == "instant" else prefix) + text


def _prefix(random: Random) -> str:
    return "" if random.random() < 0.25 else random.choice(PREFIXES)


def number(random: Random, pair: Pair) -> str:
    """Return a prefix and a number near that of the resource, of any precision."""
    found = numbers.limits(*pair)
    finite = [limit for limit in found[:2] if limit.is_finite()] if found else []
    value = random.choice(finite) if finite and random.random() < 0.7 else Decimal(random.choice(DECIMALS))
    shape = random.random()
    if shape < 0.2:
        value = round(value, random.choice((0, 1, 2)))
    elif shape < 0.3:
        value += random.choice((Decimal("0.05"), Decimal("-0.5"), Decimal(1)))
    text = f"{value:f}"
    if shape > 0.9 and value > 1:
        digits, exponent = f"{value:.0e}".split("e") if random.random() < 0.5 else f"{value:.1e}".split("e")
        text = f"{digits}e{int(exponent)}"
    return _prefix(random) + text


def quantity(random: Random, pair: Pair) -> str:
    """Return a number with the resource's unit, another unit of the same kind, one in words, or none."""
    text = number(random, pair)
    found = numbers.limits(*pair)
    unit = found[2] if found else {}
    kind = random.random()
    if kind < 0.25:
        return text
    if kind < 0.4:
        return f"{text}||{escape(unit.get('unit') or unit.get('code') or 'mg')}"
    if pair[0] == "Money":
        return f"{text}|{CURRENCIES}|{unit.get('code', 'EUR')}"
    code = unit.get("code", "mg")
    if unit.get("system") != UCUM or kind < 0.55:
        return f"{text}|{unit.get('system', UCUM)}|{code}"
    return _converted(random, text, code)


def _converted(random: Random, text: str, code: str) -> str:
    """Return a search in another unit of the same dimension, most often with the number converted."""
    table = UNITS if code in UNITS else DURATIONS
    to = random.choice([other for other in table if table[other][0] == table[code][0]])
    prefix, digits = (text[:2], text[2:]) if text[:2] in PREFIXES else ("", text)
    if random.random() < 0.8 and "e" not in digits:
        exact = Decimal(digits) * Decimal(table[code][1]) / Decimal(table[to][1])
        digits = f"{exact.normalize():f}" if len(exact.as_tuple().digits) < 12 else f"{round(exact, 6):f}"
    return f"{prefix}{digits}|{UCUM}|{escape(to)}"


def uri(random: Random, modifier: str | None, pair: Pair) -> str:
    """Return a URI, for ``:above`` and ``:below`` one of the same tree."""
    text = pair[1]
    if random.random() < 0.3 or (modifier and "://" not in text):
        text = random.choice([uri for uri in URIS if "://" in uri])
    if modifier == "below" and text.startswith("http"):
        above = text.rpartition("/")[0]
        text = random.choice((text, above, above + "/")) if "://" in above else text
    elif modifier == "above" and text.startswith("http"):
        text = random.choice((text, text.partition("|")[0].rstrip("/") + "/ValueSet/1/sub"))
    escaped = escape(text)
    # Few clients mark the bar before a version.
    return escaped.replace("\\|", "|") if random.random() < 0.5 else escaped


def near(random: Random, position: dict[str, Any]) -> str:
    """Return a place, a distance in one of the units, and that unit, which may be left out for km."""
    latitude = position["latitude"] + random.choice((0, Decimal("0.01"), Decimal("-0.1")))
    distance, unit = random.choice(
        (("1", "km"), ("12.5", ""), ("40", "[mi_i]"), ("900", "m"), ("150", "km"), ("0.5", None))
    )
    place = f"{latitude:f}|{position['longitude']:f}|{distance}"
    return place if unit is None else f"{place}|{unit}"


MODIFIERS: dict[str, Sequence[str]] = {
    "string": ("exact", "contains"),
    "token": ("not", "text", "code-text", "in", "not-in", "above", "below", "of-type"),
    "reference": ("identifier", "[type]", "[type]", "above", "below", "text", "code-text"),
    "uri": ("above", "below"),
}
