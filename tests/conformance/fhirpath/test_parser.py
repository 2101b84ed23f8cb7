"""The grammar of FHIRPath: precedence, literals, what is refused and where, and that nothing else is ever raised."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.fhirpath import FHIRPathSyntaxError, parse
from conformance.fhirpath.syntax import Binary, Indexer, Invocation, Literal, Member, Polarity, TypeOperation, Variable


def name(text: str) -> Member:
    return Member(None, text)


@pytest.mark.parametrize(
    ("expression", "tree"),
    [
        ("a.b", Member(name("a"), "b")),
        ("a[0].b", Member(Indexer(name("a"), Literal(0)), "b")),
        ("a or b and c", Binary("or", name("a"), Binary("and", name("b"), name("c")))),
        ("a implies b or c", Binary("implies", name("a"), Binary("or", name("b"), name("c")))),
        ("a | b = c", Binary("=", Binary("|", name("a"), name("b")), name("c"))),
        ("a = b in c", Binary("in", Binary("=", name("a"), name("b")), name("c"))),
        ("a + b * c", Binary("+", name("a"), Binary("*", name("b"), name("c")))),
        ("a - b - c", Binary("-", Binary("-", name("a"), name("b")), name("c"))),
        ("a > b is C", Binary(">", name("a"), TypeOperation("is", name("b"), "C"))),
        ("a as System.String", TypeOperation("as", name("a"), "System.String")),
        ("-a.b", Polarity("-", Member(name("a"), "b"))),
        ("a.as(B)", Invocation(name("a"), "as", (name("B"),))),
        ("contains", name("contains")),
        ("`div`", name("div")),
        ("text.div", Member(name("text"), "div")),
        ("$this.a", Member(Variable("$this"), "a")),
        ("%`a b`", Variable("%a b")),
        ("{}", Literal(None)),
        ("1.50", Literal(Decimal("1.50"))),
        (r"'a\'b\u0041\n'", Literal("a'bA\n")),
        ("a // comment\n.b /* and */", Member(name("a"), "b")),
    ],
)
def test_the_tree_follows_the_precedence_table(expression: str, tree: object) -> None:
    assert parse(expression) == tree


@pytest.mark.parametrize(
    ("expression", "position", "expected"),
    [
        ("", 0, "an expression"),
        ("a.", 2, "an identifier"),
        ("a b", 2, "an operator or the end"),
        ("a.where(b", 9, "an operator, ',' or ')'"),
        ("a.where(", 8, "an expression"),
        ("(a", 2, "an operator or ')'"),
        ("a[1", 3, "an operator or ']'"),
        ("a = = b", 4, "an expression"),
        ("'abc", 0, "a token"),
        ("a # b", 2, "a token"),
        ("@2019-02-29", 0, "a date or time that exists"),
        ("$that", 0, "$this, $index or $total"),
        ("1" * 101, 0, "at most 100 digits"),
        ("'" + "a" * 20_000 + "'", 20_000, "no more than 20000 characters"),
    ],
)
def test_a_syntax_error_says_where_and_what_was_expected(expression: str, position: int, expected: str) -> None:
    with pytest.raises(FHIRPathSyntaxError) as caught:
        parse(expression)
    assert (caught.value.position, caught.value.expected) == (position, expected)


@pytest.mark.parametrize(
    ("expression", "line", "column"),
    [("a b", 1, 3), ("a\n  b", 2, 3), ("a.where(\n\n  $this = \n)", 4, 1), ("\n", 2, 1), ("", 1, 1)],
)
def test_a_syntax_error_says_the_line_and_the_column(expression: str, line: int, column: int) -> None:
    with pytest.raises(FHIRPathSyntaxError, match=f"at line {line}, column {column}: expected an") as caught:
        parse(expression)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5000 + "a" + ")" * 5000,
        "-" * 5000 + "1",
        "a" + ".a" * 5000,
        "a" + "[0]" * 5000,
        "1" + "+1" * 5000,
        "a" + " is B" * 5000,
        "a(" * 5000 + ")" * 5000,
    ],
)
def test_depth_is_bounded(expression: str) -> None:
    with pytest.raises(FHIRPathSyntaxError, match=r"Nested too deeply|Too many chained steps|Expression too long"):
        parse(expression)


def test_a_hundred_chained_steps_are_fine() -> None:
    assert parse("a" + ".a" * 100) is not None


WORDS = (
    "a Patient . ( ) [ ] { } ' ` , | & + - * / = != ~ !~ < <= > >= is as in contains and or xor implies div mod "
    '1 2.5 5L @2020 @2020-13 @T10 @T99 %x $this $index year days true where( // /* */ \\ " é'
)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS.split()), max_size=25).map(" ".join)))
def test_any_text_parses_or_is_a_syntax_error(text: str) -> None:
    try:
        tree = parse(text)
    except FHIRPathSyntaxError as error:
        found = error
    else:
        assert parse(text) is tree
        return
    assert 0 <= found.position <= len(text)
    assert found.expected
