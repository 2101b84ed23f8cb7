"""``Encounter/$suggest-codes``: the code set, the ranking, spans, assertion, and what is returned or refused."""

import asyncio
import os
import subprocess
import sys
from base64 import b64encode
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai.artifact import ArtifactError, read_artifact, write_artifact
from ai.assertion.context import assertion, read_sentence
from ai.assertion.evaluation import evaluate as evaluate_negation
from ai.assertion.evaluation import read_negex
from ai.authorship import TAG
from ai.codes.code_set import code_set
from ai.codes.evaluation import average_precision, evaluate_pairs
from ai.codes.index import shipped_index
from ai.codes.mentions import find_mentions
from ai.codes.operation import LONGEST, answer
from ai.codes.suggestion import DEFAULT, LEAST_CONFIDENCE, NAME, lexicon, load, suggest
from ai.codes.terms import read_pairs
from ai.codes.training import TooFewNotesError, learn, train
from ai.codes.words import key_of, words_of
from fhir_server.operations.contract import OperationError, Resource
from tests.ai.practice import MemoryContext, invoke, refusal
from tests.shared import shared

NOTE = """Subjective: 54 year old man with low back pain for 3 days. Denies chest pain, fever or dysuria.
Family history: father had colon cancer. Mother with asthma.
Past medical history: gout.
Return if he develops hematuria.
Assessment: 1. Acute low back pain. 2. Essential hypertension, uncontrolled. 3. Type 2 diabetes mellitus.
"""
PIECES = (
    "Denies fever.",
    "hypertension",
    "\r\n",
    "\U0001f600",
    "cafe\u0301 ",
    "acute bronchitis, ",
    "no chest pain. ",
    "\u05db\u05d0\u05d1 ",
    "(asthma) ",
    "Family history: ",
    "\u200f",
    "\t",
    "type 2 diabetes ",
    "ﬁbrosis of lung; ",
)


def codes_of(text: str) -> set[str]:
    return {suggestion.code.code for suggestion in suggest(text, 100)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hypertension, well controlled. Denies chest pain.", {"I10"}),
        ("HYPERTENSION, WELL CONTROLLED.", {"I10"}),
        ("All men were fit, well and stable on the 2nd day.", set()),
        ("Known Takayasu.", {"M31.4"}),
        ("Operated on for Dupuytren's.", {"M72.0"}),
    ],
)
def test_an_ordinary_word_is_no_finding_but_a_name_as_it_is_written_is_one(text: str, expected: set[str]) -> None:
    assert codes_of(text) == expected


def test_what_is_hardly_likely_is_not_shown() -> None:
    found = suggest("Type 2 diabetes with polyneuropathy. " + NOTE, 100)
    assert min(s.confidence for s in found) >= LEAST_CONFIDENCE
    assert "A69.22" not in {s.code.code for s in found}
    assert {"E11.9", "G62.9"} <= {s.code.code for s in found}


def test_a_sites_own_model_is_the_one_that_answers_and_an_altered_one_is_refused(tmp_path: Path) -> None:
    shipped = read_artifact(DEFAULT, NAME)
    own = tmp_path / "suggest-codes.json"
    digest = write_artifact(own, {**shipped, "version": "own", "learned": {"zorbulitis": [["I10", 0.9]]}})
    text = {"name": "text", "valueString": "Gout and zorbulitis."}
    found = asyncio.run(answer(invoke("Encounter", None, text), MemoryContext(), tmp_path))
    model = next(p for p in found["parameter"] if p["name"] == "model")
    assert part(model, "version")["valueString"] == "own"
    device = next(p for p in found["parameter"] if p["name"] == "provenance")["resource"]["contained"][0]
    assert device["identifier"][0]["value"] == digest
    codes = {part(p, "code")["valueCoding"]["code"] for p in found["parameter"] if p["name"] == "suggestion"}
    assert "I10" in codes
    assert "I10" not in codes_of("Gout and zorbulitis.")
    own.write_text(own.read_text().replace('"own"', '"mine"'))
    with pytest.raises(ArtifactError, match="sha256"):
        load(tmp_path)
    with pytest.raises(OperationError) as caught:
        asyncio.run(answer(invoke("Encounter", None, text), MemoryContext(), tmp_path))
    assert refusal(caught.value) == (503, "exception")


def test_misspelt_words_are_ranked_alike_in_every_process() -> None:
    check = (
        "from ai.codes.index import Index; from ai.codes.terms import Term\n"
        "words = [f'hyper{a}{b}' for a in 'abcdefghijklm' for b in 'abcdefghijklm']\n"
        "index = Index([Term(word, 'I10', 'title') for word in words])\n"
        "print(index.rank(['hyperzz'], 3))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", check],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


def call(context: MemoryContext, identity: str | None, *parameters: Resource) -> Resource:
    return asyncio.run(answer(invoke("Encounter", identity, *parameters), context))


def part(suggestion: Resource, name: str) -> Resource:
    return next(p for p in suggestion["part"] if p["name"] == name)


def test_the_code_set_is_whole() -> None:
    codes = code_set()
    assert codes.billable() > 74_000
    assert codes.get("I10").display == "Essential (primary) hypertension"
    assert codes.get("S72.001A").display.endswith("initial encounter for closed fracture")
    assert codes.get("W19.XXXA").billable
    for unknown in ("I10.1", "Z99999", "", "A", "S72.001Z", "W19.XXX"):
        assert codes.get(unknown) is None


@pytest.mark.parametrize(
    ("code", "resolved", "billable"),
    [
        ("J45", "J45.909", True),
        ("E11", "E11.9", True),
        ("W19", "W19.XXXA", True),
        ("S72.001", "S72.001A", True),
        ("I10", "I10", True),
        ("A18", "A18", False),
    ],
)
def test_a_group_resolves_to_its_default_leaf_or_stays_a_flagged_parent(
    code: str, resolved: str, billable: bool
) -> None:
    found = code_set().resolve(code)
    assert (found.code, found.billable) == (resolved, billable)


def test_every_term_leads_to_a_code_of_the_release() -> None:
    codes = code_set()
    assert all(codes.get(term.code) for term in shipped_index().terms)


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("breast cancer", "C50"),
        ("kidney stone", "N20.0"),
        ("fracture of the femur", "S72"),
        ("hypertention", "I10"),
        ("high blood pressure", "I10"),
    ],
)
def test_ranking_bridges_synonyms_word_order_and_spelling(label: str, code: str) -> None:
    assert any(match.code.startswith(code) for match in shipped_index().rank(words_of(label), 5))


def test_a_note_gives_what_it_asserts_and_nothing_it_denies() -> None:
    found = codes_of(NOTE)
    assert {"M54.50", "I10", "E11.9"} <= found
    categories = {code[:3] for code in found}
    assert not categories & {"R07", "R50", "R30", "C18", "J45", "M10", "R31"}


@pytest.mark.parametrize(
    ("sentence", "mention", "expected"),
    [
        ("No fever, chills or cough.", "cough", "negated"),
        ("No fever but a productive cough.", "cough", "affirmed"),
        ("Pneumonia was ruled out.", "Pneumonia", "negated"),
        ("Her mother had asthma.", "asthma", "family"),
        ("Accompanied by her mother, reports asthma.", "asthma", "affirmed"),
        ("Status post appendicitis in 2009.", "appendicitis", "historical"),
        ("Return if fever develops.", "fever", "hypothetical"),
        ("Possible pneumonia.", "pneumonia", "possible"),
        ("A 54 year old man with gout.", "gout", "affirmed"),
        ("Two-day history of vomiting.", "vomiting", "affirmed"),
        ("No change in her asthma.", "asthma", "affirmed"),
    ],
)
def test_assertion_follows_the_cues(sentence: str, mention: str, expected: str) -> None:
    start = sentence.index(mention)
    assert assertion(read_sentence(sentence), start, start + len(mention)) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=14))
def test_spans_are_inside_the_text_in_order_and_apart(pieces: list[str]) -> None:
    text = "".join(pieces)
    end = 0
    for mention in find_mentions(text, lexicon()):
        assert end <= mention.start < mention.end <= len(text)
        assert text[mention.start : mention.end].strip() == text[mention.start : mention.end]
        end = mention.end


def test_offsets_hold_across_crlf_emoji_and_combining_accents() -> None:
    text = "Cafe\u0301 \U0001f600 visit.\r\nToday: acute bronchitis.\r\n"
    (suggestion,) = [s for s in suggest(text) if s.code.code == "J20.9"]
    ((start, end),) = suggestion.evidence
    assert text[start:end] == "acute bronchitis"


def test_free_text_answers_with_parameters() -> None:
    found = call(MemoryContext(), None, {"name": "text", "valueString": NOTE}, {"name": "count", "valueInteger": 3})
    assert TAG in found["meta"]["tag"]
    suggestions = [p for p in found["parameter"] if p["name"] == "suggestion"]
    assert len(suggestions) == 3
    confidences = [part(s, "confidence")["valueDecimal"] for s in suggestions]
    assert all(isinstance(c, Decimal) and 0 <= c <= 1 for c in confidences)
    assert confidences == sorted(confidences, reverse=True)
    for suggestion in suggestions:
        coding = part(suggestion, "code")["valueCoding"]
        assert coding["display"] == code_set().get(coding["code"]).display
        text, start, end = (p for p in part(suggestion, "evidence")["part"])
        assert NOTE[start["valueInteger"] : end["valueInteger"]] == text["valueString"]
    model = next(p for p in found["parameter"] if p["name"] == "model")
    assert part(model, "version")["valueString"] == load().version
    provenance = next(p for p in found["parameter"] if p["name"] == "provenance")["resource"]
    assert provenance["contained"][0]["version"][0]["value"] == load().version


def encounter_with(*resources: Resource) -> MemoryContext:
    encounter = {"resourceType": "Encounter", "id": "e1", "reasonCode": [{"text": "Low back pain"}]}
    return MemoryContext([encounter, *resources])


def document(identity: str, content: bytes, kind: str = "text/plain; charset=utf-8", **more: object) -> Resource:
    return {
        "resourceType": "DocumentReference",
        "id": identity,
        "status": "current",
        "context": {"encounter": [{"reference": "Encounter/e1"}]},
        "content": [{"attachment": {"contentType": kind, "data": b64encode(content).decode()}}],
        **more,
    }


def test_an_encounter_is_read_through_its_notes_and_each_span_names_its_source() -> None:
    reference = {"reference": "Encounter/e1"}
    context = encounter_with(
        document("d1", b"Assessment: acute bronchitis. No pneumonia."),
        document("d2", b"<p>Gout of the knee</p>", "text/html", status="entered-in-error"),
        document("d3", b"\xff\xfe\x00", "text/plain"),
        document("d4", b"%PDF", "application/pdf"),
        {
            "resourceType": "Composition",
            "id": "c1",
            "status": "final",
            "encounter": reference,
            "section": [
                {"title": "Plan", "text": {"div": "<div><p>Treat iron deficiency anemia &amp; rest</p></div>"}}
            ],
        },
        {
            "resourceType": "Condition",
            "id": "k1",
            "encounter": reference,
            "code": {"text": "Migraine"},
            "verificationStatus": {"coding": [{"code": "refuted"}]},
        },
    )
    found = call(context, "e1")
    sources = {}
    for suggestion in found["parameter"]:
        if suggestion["name"] == "suggestion":
            evidence = {p["name"]: p for p in part(suggestion, "evidence")["part"]}
            sources[part(suggestion, "code")["valueCoding"]["code"]] = evidence["source"]["valueReference"]["reference"]
    assert sources["M54.50"] == "Encounter/e1"
    assert sources["J20.9"] == "DocumentReference/d1"
    assert sources["D50.9"] == "Composition/c1"
    assert not {code[:3] for code in sources} & {"J18", "M10", "G43"}


def test_an_encounter_without_words_gives_no_suggestion() -> None:
    found = call(MemoryContext([{"resourceType": "Encounter", "id": "e1"}]), "e1")
    assert [p["name"] for p in found["parameter"]] == ["model", "provenance"]


@pytest.mark.parametrize(
    ("identity", "parameters", "expected"),
    [
        ("nobody", [], (404, "not-found")),
        (None, [], (400, "required")),
        (None, [{"name": "text", "valueString": " \n"}], (400, "required")),
        (None, [{"name": "text", "valueInteger": 7}], (400, "required")),
        (None, [{"name": "text", "valueString": "\x00\x01PK\x03\x04"}], (400, "value")),
        (None, [{"name": "text", "valueString": "fever " * 200_000}], (413, "too-long")),
        (None, [{"name": "text", "valueString": "gout"}, {"name": "count", "valueInteger": 0}], (400, "value")),
        (None, [{"name": "text", "valueString": "gout"}, {"name": "count", "valueString": "²"}], (400, "value")),
    ],
)
def test_the_impossible_is_refused(identity: str | None, parameters: list[Resource], expected: tuple[int, str]) -> None:
    with pytest.raises(OperationError) as caught:
        call(MemoryContext(), identity, *parameters)
    assert refusal(caught.value) == expected


@pytest.mark.parametrize(
    "piece", ["fever ", "(", "a", "\u05db\u05d0\u05d1 \u05e8\u05d0\u05e9 ", "no ", "\n", "pain,", "-"]
)
def test_the_longest_text_of_one_piece_still_gets_an_answer(piece: str) -> None:
    text = "x" + (piece * LONGEST)[: LONGEST - 1]
    found = call(MemoryContext(), None, {"name": "text", "valueString": text})
    assert found["resourceType"] == "Parameters"


def test_terms_are_learned_only_from_enough_notes_that_agree() -> None:
    keys = [{"puffy ankle"}] * 10 + [{"edema"}] * 3 + [{"tall"}] * 400
    given = [frozenset({"R60.9"})] * 13 + [frozenset({"I10"}), frozenset({"J45.909"})] * 200
    learned = learn(keys, given, shipped_index())
    assert learned["puffy ankle"][0][0] == "R60.9"
    assert learned["edema"][0][0] == "R60.9"
    assert "tall" not in learned
    with pytest.raises(TooFewNotesError):
        train([], shipped_index(), "nothing")


def test_average_precision_is_over_the_gold_codes() -> None:
    assert average_precision(["a", "x", "b"], frozenset("ab")) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(["x"], frozenset("ab")) == 0


def test_order_does_not_matter_to_a_term() -> None:
    assert key_of(words_of("Fracture of femur")) == key_of(words_of("femur fractures"))


def test_held_out_pairs_are_ranked_without_their_own_answer() -> None:
    pairs = read_pairs(shared("ai", "terminology", "DO_ICD10inDO_70pct.tsv.gz"))
    figures = evaluate_pairs(pairs).figures
    assert figures["top-5"].low > 0.74
    assert figures["top-1"].low > 0.55


def test_negation_on_the_public_sentences() -> None:
    cases = read_negex(shared("ai", "negation", "negex_even.txt.gz"))
    assert evaluate_negation(cases).figures["negated"]["F1"].value > 0.95
