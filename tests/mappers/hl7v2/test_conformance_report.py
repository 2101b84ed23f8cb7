"""The report of departures from the standard's structure."""

from __future__ import annotations

from mappers.hl7v2.conformance_report import report
from mappers.hl7v2.encoding import HeaderError
from mappers.hl7v2.tokenizer import tokenize
from tests.mappers.hl7v2.messages import OBR, PID, corpus, header, message, oru


def findings(raw: bytes) -> set[tuple[str, str]]:
    """Return (kind, location) pairs."""
    return {(d.kind, d.location) for d in report(tokenize(raw))}


def test_a_conformant_message_has_no_departures() -> None:
    assert findings(oru("1", "OBX|1|NM|a||1||||||F")) == set()


def test_departures_are_located() -> None:
    raw = message(header(), "PID|1||||", OBR, "OBX|1|NM|a||1||||||F", "AL1|1||x", "ZZZ|fine", "NTE|1|L|text|||||extra")
    assert findings(raw) == {
        ("cardinality", "PID^1^3"),
        ("cardinality", "PID^1^5"),
        ("segment", "AL1^1"),
        ("field", "NTE^1^8"),
    }


def test_unknown_versions_and_structures_are_told() -> None:
    raw = message(header("1", "ADT^A01^ADT_XXX").replace("2.5.1", "2.5.9"), PID)
    assert {("version", "MSH^1^12"), ("structure", "MSH^1^9")} <= findings(raw)


def test_every_public_message_can_be_reported_on() -> None:
    kinds: set[str] = set()
    for _, raw in corpus():
        try:
            tokens = tokenize(raw)
        except HeaderError:
            continue
        kinds |= {d.kind for d in report(tokens)}
    assert kinds == {"version", "structure", "segment", "field", "cardinality"}
