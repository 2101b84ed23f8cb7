"""What a value of ``_text`` and ``_content`` means, and which words the database finds in a resource."""

from __future__ import annotations

import json
import re
import unicodedata

import psycopg
import pytest

from fhir_server.search import full_text
from fhir_server.search.criteria import bind_all
from fhir_server.search.environment import Environment
from fhir_server.search.errors import InvalidSearch
from fhir_server.search.full_text import parse_words, words_of
from fhir_server.search.registry import described_parameters, standard
from fhir_server.store.full_text import SEPARATORS
from tests.search.test_full_text import plain
from tests.search.world import World


@pytest.mark.parametrize(
    ("value", "query"),
    [
        ("bone liver", "('bone' & 'liver')"),
        ("(bone OR liver) and metastases", "(('bone' | 'liver') & 'metastases')"),
        ("a or b c", "('a' | ('b' & 'c'))"),
        ('"Follow-Up  visit"', "('follow' <-> 'up' <-> 'visit')"),
        ("x-ra*", "('x' <-> 'ra':*)"),
        ("not (a b)", "!('a' & 'b')"),
        ("a -b - c", "('a' & !'b' & 'c')"),
        ("Ärz*", "'arz':*"),
        ('"and"', "'and'"),
        ("it's \\ O'Brien & | !", "(('it' <-> 's') & ('o' <-> 'brien'))"),
    ],
)
def test_what_a_value_means(value: str, query: str) -> None:
    assert parse_words(value) == query


@pytest.mark.parametrize(
    "value",
    [
        "",
        "!?",
        '"',
        'a "b',
        "(a",
        "a)",
        "a or",
        "and b",
        "not",
        "()",
        "-()",
        "x" * 256,
        " ".join(["a"] * 65),
        "(" * 20 + "a" + ")" * 20,
    ],
)
def test_values_that_are_refused(dsn: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_words(value)
    if value:
        with pytest.raises(InvalidSearch):
            World(dsn).page("Patient", ("_content", value))


def test_the_database_folds_as_strings_are_folded(dsn: str) -> None:
    codes = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) != "Cn"]
    separator = re.compile(f"[{SEPARATORS}]")
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT c, full_text_fold(chr(c)), tsvector_to_array(full_text_words(ARRAY['q' || chr(c) || 'q']))"
            " FROM unnest(%s::int4[]) AS c",
            (codes,),
        ).fetchall()
    for code, folded, words in rows:
        character = chr(code)
        assert set(words) == set(words_of(f"q{character}q")), hex(code)
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
        assert folded == "".join(c for c in decomposed if not unicodedata.combining(c)), hex(code)
    assert len(rows) == len(codes)
    assert all(separator.search(mark) for mark in "'\\\x01 \n\t\"&|!():*<>-\u2013\u2028")


@pytest.mark.parametrize(
    "div",
    [
        "<div>a<br/>b</div>",
        "<p>&eacute;t&#233; &#xE9;&lt;b&gt; R&amp;D &amp;lt; AT&T</p>",
        "<td title='a > b'>x</td>",
        "a<!-- hidden > text -->b",
        "&#0;&#xD800;&#x110000;end",
        "tail &",
    ],
)
def test_markup_is_left_out(dsn: str, div: str) -> None:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT full_text_plain(%s)", (div,)).fetchone()
    assert row is not None
    assert words_of(row[0].replace("\ufffd", "")) == words_of(plain(div).replace("\ufffd", " "))


def test_large_and_odd_texts_are_no_obstacle(dsn: str) -> None:
    many = " ".join(f"{number:x}word" for number in range(60_000))
    wide = " ".join(chr(0x20000 + number) for number in range(40_000))
    with psycopg.connect(dsn) as connection:
        for text in (many, wide, "a" * 300_000, "\u0000 \\u0000 \\\\u0000"):
            content = json.dumps({"resourceType": "Patient", "name": [{"family": "first " + text}]}).encode()
            row = connection.execute("SELECT full_text_content(%s) @@ 'first'", (content,)).fetchone()
            assert row == (True,)
        row = connection.execute('SELECT full_text_content(\'{"resourceType": "Patient"}\')::text').fetchone()
        assert row == ("",)


def test_phrases_do_not_span_elements(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "a", "name": [{"family": "Bone", "given": ["Liver"]}]})
    assert world.ids("Patient", ("_content", "bone liver")) == ["a"]
    assert world.ids("Patient", ("_content", '"bone liver"')) == []
    assert world.ids("Patient", ("_content", '"liver bone"')) == []


def test_modifiers_are_not_supported(world: World) -> None:
    for name in ("_text:missing", "_content:exact", "_text:contains"):
        with pytest.raises(InvalidSearch, match="not supported"):
            world.page("Patient", (name, "true"), strict=True)


def test_grants_can_not_ask_for_words(world: World) -> None:
    assert bind_all("Patient", [("_content", "bone")], Environment(world.tenant, standard())) is None
    assert all(
        {"_content"} <= {d.code for d in described_parameters(standard())[name]} for name in ("Patient", "Bundle")
    )
    assert set(full_text.COLUMNS) == {"_text", "_content"}
