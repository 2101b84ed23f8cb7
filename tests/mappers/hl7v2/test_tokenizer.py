"""The tokenizer: tolerant of everything, loses nothing, raises nothing but HeaderError."""

from __future__ import annotations

import re

import pytest
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_segment
from hypothesis import given, settings
from hypothesis import strategies as st

from mappers.hl7v2 import tokenizer
from mappers.hl7v2.encoding import STANDARD, Delimiters, HeaderError
from mappers.hl7v2.escapes import escape, unescape
from mappers.hl7v2.tokenizer import serialize, split_batch, tokenize
from tests.mappers.hl7v2.messages import corpus, header, message, oru

UNREADABLE = {"MSH-2 repeats a character or uses a letter or digit."}


def test_every_public_message_tokenizes_but_the_one_without_delimiters() -> None:
    reasons = []
    for _, raw in corpus():
        try:
            assert tokenize(raw).segments[0].name == "MSH"
        except HeaderError as error:
            reasons.append(error.reason)
    assert len(reasons) == 1
    assert set(reasons) == UNREADABLE


def test_nothing_of_the_public_messages_is_lost() -> None:
    for path, raw in corpus():
        if not _readable(raw):
            continue
        tokens = tokenize(raw)
        again = tokenize(serialize(tokens))
        assert [s.fields for s in again.segments] == [s.fields for s in tokens.segments], path
        text = raw.decode(tokens.codec).lstrip("\ufeff\x0b")
        lines = [
            line for line in text.replace("\r\n", "\r").replace("\n", "\r").split("\r") if line.strip(" \t\x0b\x1c\x00")
        ]
        assert serialize(tokens).decode(tokens.codec).rstrip("\r") == "\r".join(lines).rstrip(), path


def _bare(value: str) -> list[str]:
    """Return the valued leaves: hl7apy moves up what stands beyond its structure, and drops leading zeros of numbers."""
    leaves = (leaf.strip() for leaf in re.split(r"[&^]", value))
    return [leaf.lstrip("0") if leaf.isdigit() else leaf for leaf in leaves if leaf]


def _readable(raw: bytes) -> bool:
    try:
        tokenize(raw)
    except HeaderError:
        return False
    return True


def test_fields_equal_those_that_hl7apy_reads() -> None:
    compared = 0
    for path, raw in corpus()[::9]:
        if not _readable(raw):
            continue
        tokens = tokenize(raw)
        if tokens.delimiters != STANDARD:
            continue
        for segment in tokens.segments[1:6]:
            try:
                oracle = parse_segment(segment.text, version="2.5.1")
            except HL7apyException:
                continue
            theirs: dict[int, list[str]] = {}
            for child in oracle.children:
                number = (child.name or "").rpartition("_")[2]
                if number.isdigit():
                    theirs.setdefault(int(number), []).append(child.to_er7())
            for number, values in theirs.items():
                ours = segment.repetitions(number)
                if "\\" in segment.field(number):
                    continue  # hl7apy escapes anew
                assert [b for v in values if (b := _bare(v))] == [b for o in ours if (b := _bare(o))], (
                    path,
                    segment.name,
                    number,
                )
                compared += 1
    assert compared > 1000


@given(st.binary(max_size=400) | st.binary(max_size=60).map(lambda tail: b"MSH|^~\\&|" + tail))
def test_any_bytes_raise_nothing_but_header_error(raw: bytes) -> None:
    if _readable(raw):
        assert tokenize(raw).header.name == "MSH"
    assert b"".join(split_batch(raw)) == raw


FIELD = st.text(alphabet='ab^~&\\#é|"1. \r\n', max_size=20)


@given(
    st.sampled_from(["|^~\\&", "|^~\\&#", "$%*!@"]), st.lists(FIELD, max_size=12), st.sampled_from(["\r", "\n", "\r\n"])
)
@settings(max_examples=200)
def test_what_is_tokenized_serializes_to_the_same_tokens(characters: str, fields: list[str], line_end: str) -> None:
    separator = characters[0]
    raw = line_end.join([f"MSH{characters}{separator}A", separator.join(["ZZZ", *fields])]).encode()
    tokens = tokenize(raw)
    assert [s.fields for s in tokenize(serialize(tokens)).segments] == [s.fields for s in tokens.segments]


@given(
    st.text(max_size=60), st.sampled_from([STANDARD, Delimiters(truncation="#"), Delimiters("$", "%", "*", "!", "@")])
)
def test_escaping_round_trips(text: str, delimiters: Delimiters) -> None:
    escaped = escape(text, delimiters)
    assert not set(escaped) & {delimiters.field, delimiters.component, delimiters.repetition, "\r", "\n"}
    assert unescape(escaped, delimiters) == text


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        (r"a\T\b", "a&b"),
        (r"one\.br\two", "one\ntwo"),
        (r"\R\\S\\F\\E\ ", "~^|\\ "),
        (r"x\X0d0a\y", "x\r\ny"),
        (r"a\.sp2\b", "a\n\nb"),
        (r"\H\bold\N\ ", "bold "),
        (r"\Zlocal\ stays", r"\Zlocal\ stays"),
        (r"C:\path", r"C:\path"),
        (r"\X0g\ ", r"\X0g\ "),
    ],
)
def test_escape_sequences(escaped: str, plain: str) -> None:
    assert unescape(escaped, STANDARD) == plain


def test_line_ends_marks_and_frames_do_not_matter() -> None:
    plain = oru()
    for raw in (
        plain.replace(b"\r", b"\n"),
        plain.replace(b"\r", b"\r\n"),
        b"\xef\xbb\xbf" + plain,
        b"\x0b" + plain + b"\x1c\r",
        b"\r\n\n" + plain + b"\n\n",
    ):
        assert [s.fields for s in tokenize(raw).segments] == [s.fields for s in tokenize(plain).segments]


def test_delimiters_come_from_the_header() -> None:
    tokens = tokenize(b"MSH$%*!@$LAB%x$\rPID$1$$7%%%H@1.2@ISO*8$\r")
    assert tokens.header.value(3, 2) == "x"
    assert tokens.segments[1].value(3, 4, 2) == "1.2"
    assert tokens.segments[1].value(3, repetition=2) == "8"
    assert tokenize(b"MSH|^~\\&#|A\r").delimiters.truncation == "#"


def test_unknown_segments_stay_and_text_runs_on() -> None:
    tokens = tokenize(oru() + b"ZLR|local|x\rNTE|1||first line\rsecond line\rBTS|1\r")
    assert [s.name for s in tokens.segments][-3:] == ["ZLR", "NTE", "BTS"]
    note = tokens.first("NTE")
    assert note is not None
    assert note.field(3) == "first line\nsecond line"


@pytest.mark.parametrize(
    ("declared", "raw", "codec", "fallback"),
    [
        ("", "é".encode(), "utf-8", False),
        ("UNICODE UTF-8", "é".encode(), "utf-8", False),
        ("8859/1", "é".encode("latin-1"), "iso8859-1", False),
        ("8859/1~UNICODE UTF-8", "é".encode("latin-1"), "iso8859-1", False),
        ("ASCII", "é".encode(), "utf-8", True),
        ("", "é\u2019".encode("cp1252"), "cp1252", True),
        ("ISO IR 999", "é".encode(), "utf-8", True),
        ("", b"\xe9\x81", "iso8859-1", True),
    ],
)
def test_character_sets(declared: str, raw: bytes, codec: str, fallback: bool) -> None:
    tokens = tokenize(f"MSH|^~\\&|||||||||||||||{'|'}{declared}\rNTE|1||".encode() + raw)
    assert (tokens.codec, tokens.fallback) == (codec, fallback)


def test_a_batch_is_cut_into_messages_without_losing_its_envelope() -> None:
    raw = b"FHS|^~\\&\rBHS|^~\\&\r" + oru("1") + oru("2") + b"BTS|2\rFTS|1\r"
    first, second = split_batch(raw)
    assert first + second == raw
    assert tokenize(first).prelude.startswith("FHS")
    assert tokenize(second).header.value(10) == "2"


def test_delete_is_not_absence() -> None:
    segment = tokenize(message(header(), 'PID|1||""|')).segments[1]
    assert (segment.value(3), segment.value(4)) == ('""', "")


@pytest.mark.parametrize("raw", [b"", b"hello", b"MSH", b"MSH|", b"MSHA^~", b"PID|1", b"MSH|^^^^|x"])
def test_unreadable_headers_say_where(raw: bytes) -> None:
    with pytest.raises(HeaderError) as caught:
        tokenize(raw)
    assert caught.value.location.startswith("MSH^1")


def test_the_size_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "MAX_BYTES", 100)
    with pytest.raises(HeaderError, match="more than 100 bytes"):
        tokenize(oru())
