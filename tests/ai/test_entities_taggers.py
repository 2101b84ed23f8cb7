"""The taggers beneath ``$extract-entities``: tokens, definitions, propagation, the field, corpora, training, commands, figures."""

import io
import tarfile
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ai.artifact import write_artifact
from ai.cli import app
from ai.entities.abbreviations import definitions
from ai.entities.corpora import Document, Mention, read_brat, read_pubtator
from ai.entities.crf import Field, decode
from ai.entities.evaluation import ALL, evaluate
from ai.entities.model import NAME, artifact_of, load
from ai.entities.propagation import propagate
from ai.entities.tagging import SCHEMES, Taggers
from ai.entities.texts import read_texts
from ai.entities.tokens import tokenize
from ai.entities.training import labels_of, train_taggers
from ai.read_resources import UnreadableDataError
from tests.shared import shared

RUN = CliRunner()
PUBTATOR = """1|t|Lithium toxicity.
1|a|Lithium carbonate caused tremor.
1\t0\t7\tLithium\tChemical\tD1
1\t18\t35\tLithium carbonate\tChemical\tD2
1\t43\t49\ttremor\tDisease\tD3
1\tCID\tD1\tD3
"""


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_tokens_are_the_text_without_its_white_space_and_sentences_cover_them(text: str) -> None:
    tokens = tokenize(text)
    assert [text[s:e] for s, e in zip(tokens.starts, tokens.ends, strict=True)] == tokens.words
    assert "".join(tokens.words) == "".join(text.split())
    covered = [position for begin, stop in tokens.ranges() for position in range(begin, stop)]
    assert covered == list(range(len(tokens.words)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5-HT3/placebo", ["5", "-", "HT3", "/", "placebo"]),
        ("0.25 mg, 1,200", ["0.25", "mg", ",", "1,200"]),
        ("cafe\u0301s \U0001f600", ["cafe\u0301s", "\U0001f600"]),
        ("[3H]-naloxone", ["[", "3", "H", "]", "-", "naloxone"]),
    ],
)
def test_every_mark_is_a_token_and_a_number_or_an_accented_word_is_one(text: str, words: list[str]) -> None:
    assert tokenize(text).words == words


def test_sentences_end_at_stops_but_not_at_shorthand_or_fractions() -> None:
    tokens = tokenize("Dr. Smith gave 0.5 mg vs. 1 mg. He left!\nPlan: none")
    assert [tokens.words[begin] for begin, _ in tokens.ranges()] == ["Dr", "He", "Plan"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the tardive dyskinesia (TD) group", {"TD": "tardive dyskinesia"}),
        ("valproic acid (VPA) or renal failure [RF]", {"VPA": "valproic acid", "RF": "renal failure"}),
        ("a dose (MG) of it", {}),
        ("(AB) (AB)", {}),
    ],
)
def test_a_short_form_is_defined_by_the_words_before_it(text: str, found: dict[str, str]) -> None:
    tokens = tokenize(text)
    assert {s: " ".join(tokens.words[a:b]) for s, (a, b, _) in definitions(tokens).items()} == found


def test_what_is_recognised_once_is_recognised_where_it_is_repeated() -> None:
    tokens = tokenize("Tardive dyskinesia (TD) is common. TD was seen. The tumor and the tumor and a tumor.")
    long = (0, 2, "disease")
    tumor = tokens.words.index("tumor")
    found = propagate(tokens, [long, (tumor, tumor + 1, "disease")])
    assert [" ".join(tokens.words[a:b]) for a, b, _ in found] == ["Tardive dyskinesia", "TD", "TD", "tumor"]


def random_field(seed: int) -> tuple[Field, np.ndarray]:
    random = np.random.default_rng(seed)
    steps = random.normal(size=(3, 3)).astype(np.float32)
    return Field(("O", "B-x", "I-x"), {}, np.zeros((0, 3), np.float32), steps), random.normal(size=(7, 3)).astype(
        np.float32
    )


@pytest.mark.parametrize("seed", range(5))
def test_decoding_and_chances_are_those_of_all_labellings_counted_out(seed: int) -> None:
    field, scores = random_field(seed)
    sentences = [(0, 4), (4, 5), (5, 7)]
    chosen, chances = decode(scores, field.transitions, sentences), field.chances(scores, sentences)
    for begin, stop in sentences:
        labellings = list(product(range(3), repeat=stop - begin))
        weights = np.array(
            [
                sum(scores[begin + p, label] for p, label in enumerate(labels))
                + sum(field.transitions[a, b] for a, b in pairwise(labels))
                for labels in labellings
            ]
        )
        assert tuple(chosen[begin:stop]) == labellings[int(weights.argmax())]
        share = np.exp(weights) / np.exp(weights).sum()
        for place, label in product(range(stop - begin), range(3)):
            expected = share[[labels[place] == label for labels in labellings]].sum()
            assert chances[begin + place, label] == pytest.approx(expected, abs=1e-5)


def test_of_overlapping_mentions_the_longer_is_labelled() -> None:
    tokens = tokenize("acute renal failure today")
    labels = labels_of(tokens, [Mention(6, 11, "anatomy"), Mention(0, 19, "condition")])
    assert labels == ["B-condition", "I-condition", "I-condition", "O"]


def test_pubtator_is_read_and_its_scheme_told_by_its_types(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(PUBTATOR.replace("\n", "\r\n").encode())
    scheme, (document,) = read_pubtator(path)
    assert scheme == "chemical-disease"
    assert [document.text[m.start : m.end] for m in document.mentions] == ["Lithium", "Lithium carbonate", "tremor"]
    path.write_text(PUBTATOR.replace("43\t49", "40\t46"))
    with pytest.raises(UnreadableDataError, match="offsets"):
        read_pubtator(path)
    path.write_text("no such format")
    with pytest.raises(UnreadableDataError, match="line 1"):
        read_pubtator(path)


def brat(folder: Path, text: str, annotations: str) -> Path:
    path = folder / "brat.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("x/1.txt", text), ("x/1.ann", annotations)):
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            archive.addfile(member, io.BytesIO(content.encode()))
    return path


def test_brat_is_read_and_a_mention_in_pieces_counts_whole(tmp_path: Path) -> None:
    path = brat(
        tmp_path,
        "pain in\r\nleft arm",
        "T1\tSign_symptom 0 4\tpain\nT2\tBiological_structure 9 13;14 17\tleft arm\nE1\tx\n",
    )
    (document,) = read_brat(path)
    assert document.mentions == (Mention(0, 4, "symptom"), Mention(9, 17, "anatomy"))
    assert document.text[9:17] == "left arm"
    assert list(read_texts(path)) == ["pain in\r\nleft arm"]
    with pytest.raises(UnreadableDataError):
        read_brat(tmp_path / "none.tar")


def small_corpora() -> dict[str, list[Document]]:
    drugs, ills = ("aspirin", "lithium", "heparin", "warfarin"), ("asthma", "tremor", "gout", "anemia")
    corpora = {}
    for scheme, kinds in zip(
        SCHEMES, (("chemical", "disease"), ("", "disease"), ("medication", "condition")), strict=True
    ):
        documents = []
        for number, (drug, ill) in enumerate(product(drugs, ills)):
            text = f"Patient {number} took {drug} and then he had {ill}."
            places = ((drug, kinds[0]), (ill, kinds[1]))
            mentions = (Mention(text.index(w), text.index(w) + len(w), kind) for w, kind in places if kind)
            documents.append(Document(f"{number}", text, tuple(mentions)))
        corpora[scheme] = documents
    return corpora


@pytest.fixture(scope="module")
def trained() -> Taggers:
    return train_taggers(small_corpora(), [f"He took {w} and had gout." * 5 for w in "abcdefghijklmnopqrstuvwxyz"])


def test_training_learns_gives_the_same_again_and_survives_the_artifact(trained: Taggers, tmp_path: Path) -> None:
    again = train_taggers(small_corpora(), [f"He took {w} and had gout." * 5 for w in "abcdefghijklmnopqrstuvwxyz"])
    assert artifact_of(again, "1", {}) == artifact_of(trained, "1", {})
    write_artifact(tmp_path / f"{NAME}.json", artifact_of(trained, "1", {"source": "a test"}))
    loaded = load(tmp_path).taggers
    unseen = [
        Document(
            "a",
            "Later she took insulin and then he had vertigo.",
            (Mention(15, 22, "medication"), Mention(39, 46, "condition")),
        )
    ]
    for taggers in (trained, loaded):
        result = evaluate(unseen, "case-report", taggers)
        assert result.figures[ALL]["F1"].value == 1.0
        assert (result.n, result.mentions) == (1, 2)


def test_training_without_a_scheme_says_which() -> None:
    with pytest.raises(UnreadableDataError, match="case-report"):
        train_taggers({scheme: small_corpora()[scheme] for scheme in SCHEMES[:2]}, [])


def test_commands_train_and_evaluate_and_say_what_is_missing(tmp_path: Path) -> None:
    chemical, disease = tmp_path / "bc.txt", tmp_path / "nc.txt"
    chemical.write_text(PUBTATOR)
    disease.write_text(PUBTATOR.replace("Chemical", "Modifier").replace("Disease", "SpecificDisease"))
    case = brat(tmp_path, "Gout and pain.", "T1\tDisease_disorder 0 4\tGout\nT2\tSign_symptom 9 13\tpain\n")
    files = ["--pubtator", str(chemical), "--pubtator", str(disease), "--brat", str(case)]
    out = RUN.invoke(app, ["train", "entities", *files[:2], "--out", str(tmp_path / "x.json")])
    assert (out.exit_code, "no documents for disease, case-report" in out.output) == (2, True)
    for arguments, said in (([], "give --pubtator or --brat"), (["--brat", str(case), "--folds", "4"], "no 4 folds")):
        refused = RUN.invoke(app, ["evaluate", "entities", *arguments])
        assert (refused.exit_code, said in refused.output) == (2, True)
    evaluated = RUN.invoke(app, ["evaluate", "entities", *files])
    assert evaluated.exit_code == 0, evaluated.output
    for words in ("chemical-disease; n = 1 documents, 3 mentions", "case-report; n = 1", "F1", "all types (micro)"):
        assert words in evaluated.output


@pytest.mark.parametrize("name", ["BC5CDR_DevelopmentSet.PubTator.txt.gz", "NCBI-disease_devel.pubtator.txt.gz"])
def test_the_shipped_model_knows_what_it_was_taught(name: str) -> None:
    """Not a held-out figure (see the model card): it guards against features that no longer fit the weights."""
    scheme, documents = read_pubtator(shared("ai", "ner", name))
    result = evaluate(documents[:40], scheme, load().taggers)
    assert list(result.figures.values())[-1]["F1"].value >= 0.95
