"""OBX-5 by OBX-2: the value of an observation, https://hl7.org/fhir/R4/observation.html, HL7 v2.9 chapter 7.4.2.

The published map for OBX[Observation] gives a row per value type; ``VALUES`` is that table in code, since the types
need both OBX-5 and OBX-6. What its type does not fit (``NM`` with words in it) is kept as text, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mappers.hl7v2 import concepts, primitives
from mappers.hl7v2.primitives import base64_data, number, text
from mappers.hl7v2.run import Run

Json = dict[str, Any]
Value = tuple[str, Any]
_UCUM = "http://unitsofmeasure.org"
_COMPARATORS = ("<=", ">=", "<", ">")
_NUM1, _SEPARATOR, _NUM2 = 1, 2, 3
_DATA_PARTS = 5


def unit(raw: str, run: Run) -> Json:
    """OBX-6 as the unit elements of a Quantity: coded when it is UCUM."""
    parts = [*raw.split(run.delimiters.repetition or "\r", 1)[0].split(run.marks[1] or "\r"), "", "", ""]
    code, name = primitives.code_text(parts[0], run), text(parts[1], run)
    if code and parts[2].strip().upper() == "UCUM":
        return {"unit": name or code, "system": _UCUM, "code": code}
    return {"unit": name or code} if name or code else {}


def _quantity(amount: str, units: Json) -> Json | None:
    amount = amount.strip()
    comparator = next((c for c in _COMPARATORS if amount.startswith(c)), "")
    value = number(amount[len(comparator) :])
    if value is None:
        return None
    return {"value": value, **({"comparator": comparator} if comparator else {}), **units}


def numeric(raw: str, units: Json, run: Run) -> Value | None:
    """NM; a comparator before the number (``<5``) is understood."""
    quantity = _quantity(primitives.leaf(raw, run, 1), units)
    return ("valueQuantity", quantity) if quantity else None


def structured(raw: str, units: Json, run: Run) -> Value | None:
    """SN: comparator, number, separator, number: a Quantity, Range or Ratio."""
    parts = [text(p, run) or "" for p in [*raw.split(run.marks[1] or "\r"), "", "", ""][:4]]
    comparator, low, separator, high = parts[0], parts[_NUM1], parts[_SEPARATOR], parts[_NUM2]
    comparator = "" if comparator == "=" else comparator
    first = _quantity(low, units)
    second = _quantity(high, units) if high else None
    if first is None or (comparator and comparator not in _COMPARATORS):
        return None
    if not separator and second is None:
        return "valueQuantity", {**first, **({"comparator": comparator} if comparator else {})}
    if separator == "-" and second is not None and not comparator:
        return "valueRange", {"low": first, "high": second}
    if separator in (":", "/") and second is not None:
        numerator = {**first, **({"comparator": comparator} if comparator else {})}
        return "valueRatio", {"numerator": numerator, "denominator": second}
    return None


def string(raw: str, _units: Json, run: Run) -> Value | None:
    """ST, TX, FT: text, formatting commands as line ends."""
    value = text(raw, run)
    return ("valueString", value) if value else None


def coded(raw: str, _units: Json, run: Run) -> Value | None:
    """CWE, CE, CNE, CF, IS, ID."""
    value = concepts.concept(raw, run, 1)
    return ("valueCodeableConcept", value) if value else None


def moment(raw: str, _units: Json, run: Run) -> Value | None:
    """DT, TS, DTM."""
    value = primitives.date_time(raw, run, 1)
    return ("valueDateTime", value) if value else None


def time_of_day(raw: str, _units: Json, run: Run) -> Value | None:
    """TM."""
    value = primitives.time(raw, run, 1)
    return ("valueTime", value) if value else None


def numeric_range(raw: str, units: Json, run: Run) -> Value | None:
    """NR: low and high."""
    parts = [*raw.split(run.marks[1] or "\r"), ""]
    ends = {
        n: q
        for n, p in zip(("low", "high"), parts, strict=False)
        if (q := _quantity(p, units)) and "comparator" not in q
    }
    return ("valueRange", ends) if ends else None


def period(raw: str, _units: Json, run: Run) -> Value | None:
    """DR: start and end."""
    parts = [*raw.split(run.marks[1] or "\r"), ""]
    ends = {n: d for n, p in zip(("start", "end"), parts, strict=False) if p and (d := primitives.date_time(p, run, 2))}
    return ("valuePeriod", ends) if ends else None


def attachment(raw: str, run: Run) -> Json | None:
    """ED: an Attachment, for DiagnosticReport.presentedForm; R4's Observation has no place for one."""
    parts = raw.split(run.marks[1] or "\r")
    if len(parts) < _DATA_PARTS:
        return None
    kind, subtype, encoding = (text(p, run) or "" for p in parts[1:4])
    data = base64_data(run.marks[1].join(parts[4:]), encoding)
    if data is None:
        return None
    if "/" in kind:
        content_type = kind
    else:
        names = {"TEXT": "text", "IM": "image", "IMAGE": "image", "AU": "audio", "AUDIO": "audio"}
        content_type = f"{names.get(kind.upper(), 'application')}/{(subtype or 'octet-stream').lower()}"
    return {"contentType": content_type.replace(" ", ""), "data": data}


VALUES: dict[str, Callable[[str, Json, Run], Value | None]] = {
    "NM": numeric,
    "SN": structured,
    "ST": string,
    "TX": string,
    "FT": string,
    "CWE": coded,
    "CE": coded,
    "CNE": coded,
    "CF": coded,
    "IS": coded,
    "ID": coded,
    "DT": moment,
    "TS": moment,
    "DTM": moment,
    "TM": time_of_day,
    "NR": numeric_range,
    "DR": period,
}
TEXTUAL = frozenset(("ST", "TX", "FT"))


def value(kind: str, raw: str, units: Json, run: Run) -> Value | None:
    """Return the value[x] element and its content for one repetition of OBX-5; None when there is nothing in it."""
    convert = VALUES.get(kind)
    found = convert(raw, units, run) if convert else None
    if found is not None:
        return found
    words = text(raw, run)
    if words is None or not words.strip(run.delimiters.encoding_characters + " "):
        return None
    if convert is not moment:  # a bad date has been reported already
        run.warn(f"the value is no {kind or 'known type'}; kept as text")
    return "valueString", words
