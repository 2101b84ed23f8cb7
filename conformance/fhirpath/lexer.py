"""Text to tokens, https://hl7.org/fhirpath/N1/#lexical-elements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from conformance.fhirpath.errors import FHIRPathSyntaxError

TokenKind = Literal["number", "long", "string", "temporal", "identifier", "delimited", "variable", "symbol", "end"]

_TOKEN = re.compile(
    r"""
      (?P<space>(?:\s+|//[^\r\n]*|/\*.*?\*/)+)
    | (?P<temporal>@(?:T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?
        |\d{4}(?:-\d\d(?:-\d\d)?)?(?:T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)?))
    | (?P<long>[0-9]+L\b)
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<delimited>`(?:[^`\\]|\\.)*`)
    | (?P<identifier>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<variable>\$[A-Za-z]+|%(?:[A-Za-z_][A-Za-z0-9_-]*|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))
    | (?P<symbol><=|>=|!=|!~|[-+*/&|<>=~.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_CONTROL = {"f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token; ``text`` has quotes removed and escapes resolved where the kind has them."""

    kind: TokenKind
    text: str
    position: int


def _resolve_escape(match: re.Match[str]) -> str:
    code, char = match.groups()
    return chr(int(code, 16)) if code else _CONTROL.get(char, char)


def unescape(text: str) -> str:
    """Resolve the escape sequences of a string literal; a backslash before any other character is dropped."""
    if "\\" not in text:
        return text
    # two \u escapes may form one character outside the basic plane
    plain = _ESCAPE.sub(_resolve_escape, text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def tokenize(expression: str) -> list[Token]:
    """Split ``expression`` into tokens, closed by one of kind ``end``; raises FHIRPathSyntaxError."""
    tokens: list[Token] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None or match.lastgroup is None:
            raise FHIRPathSyntaxError(f"Unexpected {expression[position : position + 10]!r}", position, "a token")
        text = match.group()
        match match.lastgroup:
            case "string" | "delimited" as kind:
                tokens.append(Token(kind, unescape(text[1:-1]), position))
            case "variable" if text[1] in "`\"'":
                tokens.append(Token("variable", "%" + unescape(text[2:-1]), position))
            case "temporal" | "long" | "number" | "identifier" | "variable" | "symbol" as kind:
                tokens.append(Token(kind, text, position))
        position = match.end()
    tokens.append(Token("end", "", position))
    return tokens
