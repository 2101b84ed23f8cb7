"""Tokens to abstract syntax by precedence climbing, https://hl7.org/fhirpath/N1/#operator-precedence."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from conformance.fhirpath.errors import FHIRPathSyntaxError
from conformance.fhirpath.lexer import Token, tokenize
from conformance.fhirpath.quantity import CALENDAR_UNITS, Long, Quantity
from conformance.fhirpath.syntax import (
    Binary,
    Expression,
    Indexer,
    Invocation,
    Literal,
    Member,
    Polarity,
    TypeOperation,
    Variable,
    operands,
)
from conformance.fhirpath.temporal import Temporal

# Python's recursion limit is 1,000 frames and evaluation takes up to three per level
MAXIMUM_HEIGHT = 150
MAXIMUM_NESTING = 80
MAXIMUM_DIGITS = 100
MAXIMUM_LENGTH = 20_000
# clients send expressions, too, and what is remembered of them takes memory
LONGEST_REMEMBERED = 5_000

_BINDING = {
    "implies": 1,
    "or": 2,
    "xor": 2,
    "and": 3,
    "in": 4,
    "contains": 4,
    "=": 5,
    "~": 5,
    "!=": 5,
    "!~": 5,
    "<": 6,
    ">": 6,
    "<=": 6,
    ">=": 6,
    "|": 7,
    "is": 8,
    "as": 8,
    "+": 9,
    "-": 9,
    "&": 9,
    "*": 10,
    "/": 10,
    "div": 10,
    "mod": 10,
}
_POLARITY = 11
_NAMES_AND_OPERATORS = frozenset({"as", "contains", "in", "is"})
_RESERVED = frozenset(word for word in _BINDING if word.isalpha()) - _NAMES_AND_OPERATORS


class _Parser:
    def __init__(self, expression: str) -> None:
        self.tokens = tokenize(expression)
        self.at = 0
        self.nesting = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def advance(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def refuse(self, expected: str) -> FHIRPathSyntaxError:
        token = self.token
        found = "Unexpected end" if token.kind == "end" else f"Unexpected {token.text!r}"
        return FHIRPathSyntaxError(found, token.position, expected)

    def is_symbol(self, text: str) -> bool:
        return self.token.kind == "symbol" and self.token.text == text

    def take_symbol(self, text: str, expected: str = "") -> None:
        if not self.is_symbol(text):
            raise self.refuse(expected or repr(text))
        self.at += 1

    def parse_whole(self) -> Expression:
        result = self.parse_expression(0)
        if self.token.kind != "end":
            raise self.refuse("an operator or the end")
        return result

    def parse_expression(self, minimum: int) -> Expression:
        self.nesting += 1
        if self.nesting > MAXIMUM_NESTING:
            raise FHIRPathSyntaxError(
                "Nested too deeply", self.token.position, f"no more than {MAXIMUM_NESTING} levels"
            )
        left = self.parse_prefix()
        while True:
            token = self.token
            binding = _BINDING.get(token.text, 0) if token.kind in {"symbol", "identifier"} else 0
            if binding <= minimum:
                break
            self.at += 1
            if binding == _BINDING["is"]:
                left = TypeOperation(token.text, left, self.parse_type_name())
            else:
                left = Binary(token.text, left, self.parse_expression(binding))
        self.nesting -= 1
        return left

    def parse_prefix(self) -> Expression:
        if self.token.kind == "symbol" and self.token.text in {"+", "-"}:
            sign = self.advance().text
            return Polarity(sign, self.parse_expression(_POLARITY))
        term = self.parse_term()
        while True:
            if self.is_symbol("."):
                self.at += 1
                term = self.parse_step(term)
            elif self.is_symbol("["):
                self.at += 1
                term = Indexer(term, self.parse_expression(0))
                self.take_symbol("]", "an operator or ']'")
            else:
                return term

    def parse_term(self) -> Expression:
        token = self.token
        match token.kind:
            case "number" | "long":
                return self.parse_number(self.advance())
            case "string":
                return Literal(self.advance().text)
            case "temporal":
                return Literal(_checked(Temporal.from_literal, self.advance()))
            case "variable":
                return self.parse_variable(self.advance())
            case "identifier" if token.text in {"true", "false"}:
                return Literal(self.advance().text == "true")
            case "identifier" | "delimited":
                return self.parse_step(None)
        if self.is_symbol("("):
            self.at += 1
            inner = self.parse_expression(0)
            self.take_symbol(")", "an operator or ')'")
            return inner
        if self.is_symbol("{"):
            self.at += 1
            self.take_symbol("}")
            return Literal(None)
        raise self.refuse("an expression")

    def parse_number(self, token: Token) -> Expression:
        if len(token.text) > MAXIMUM_DIGITS:
            raise FHIRPathSyntaxError("Number too long", token.position, f"at most {MAXIMUM_DIGITS} digits")
        value = Decimal(token.text.rstrip("L"))
        unit = self.token
        if unit.kind == "string":
            self.at += 1
            return Literal(Quantity(value, unit.text, calendar=False))
        if unit.kind == "identifier" and unit.text in CALENDAR_UNITS:
            self.at += 1
            return Literal(Quantity(value, unit.text, calendar=True))
        if token.kind == "long":
            return Literal(Long(value))
        return Literal(value if "." in token.text else int(token.text))

    def parse_variable(self, token: Token) -> Expression:
        if token.text.startswith("$") and token.text not in {"$this", "$index", "$total"}:
            raise FHIRPathSyntaxError(f"Unexpected {token.text!r}", token.position, "$this, $index or $total")
        return Variable(token.text)

    def parse_name(self, *, after_dot: bool) -> str:
        token = self.token
        is_name = token.kind == "delimited" or (
            token.kind == "identifier" and (after_dot or token.text not in _RESERVED)
        )
        if not is_name:
            raise self.refuse("an identifier")
        self.at += 1
        return token.text

    def parse_step(self, target: Expression | None) -> Expression:
        if target is not None and self.token.kind == "variable" and self.token.text.startswith("$"):
            return self.parse_variable(self.advance())
        delimited = self.token.kind == "delimited"
        name = self.parse_name(after_dot=target is not None)
        if delimited or not self.is_symbol("("):
            return Member(target, name)
        self.at += 1
        arguments: list[Expression] = []
        if not self.is_symbol(")"):
            arguments.append(self.parse_expression(0))
            while self.is_symbol(","):
                self.at += 1
                arguments.append(self.parse_expression(0))
        self.take_symbol(")", "an operator, ',' or ')'" if arguments else "an expression or ')'")
        return Invocation(target, name, tuple(arguments))

    def parse_type_name(self) -> str:
        name = self.parse_name(after_dot=True)
        if self.is_symbol("."):
            following = self.tokens[self.at + 1]
            after = self.tokens[self.at + 2] if self.at + 2 < len(self.tokens) else following
            if following.kind in {"identifier", "delimited"} and not (after.kind == "symbol" and after.text == "("):
                self.at += 1
                name = f"{name}.{self.parse_name(after_dot=True)}"
        return name


def _checked(build: Callable[[str], Temporal], token: Token) -> Temporal:
    try:
        return build(token.text)
    except ValueError as error:
        raise FHIRPathSyntaxError(str(error), token.position, "a date or time that exists") from error


def _check_height(root: Expression) -> None:
    """Refuse trees so high that walking them would exhaust Python's stack; iterative for that reason."""
    level: list[Expression] = [root]
    for _ in range(MAXIMUM_HEIGHT):
        level = [child for node in level for child in operands(node)]
        if not level:
            return
    raise FHIRPathSyntaxError("Too many chained steps", 0, f"no more than {MAXIMUM_HEIGHT} levels")


def parse(expression: str) -> Expression:
    """Return the syntax tree of ``expression``; raises FHIRPathSyntaxError."""
    return _remembered(expression) if len(expression) <= LONGEST_REMEMBERED else _parse(expression)


def _parse(expression: str) -> Expression:
    if len(expression) > MAXIMUM_LENGTH:
        raise FHIRPathSyntaxError("Expression too long", MAXIMUM_LENGTH, f"no more than {MAXIMUM_LENGTH} characters")
    try:
        tree = _Parser(expression).parse_whole()
        _check_height(tree)
    except FHIRPathSyntaxError as error:
        raise FHIRPathSyntaxError(error.message, error.position, error.expected, expression) from error
    return tree


_remembered = lru_cache(maxsize=4096)(_parse)
