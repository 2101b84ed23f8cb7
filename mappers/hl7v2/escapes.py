"""Escape sequences in text, HL7 v2.9 chapter 2.7, https://www.hl7.eu/HL7v2x/v29/std29/ch02.html."""

from __future__ import annotations

from mappers.hl7v2.encoding import Delimiters

_LINES = (".br", ".ce", ".fi", ".nf")
_MAX_BLANK_LINES = 100


def _formatted(code: str) -> str | None:
    """Text for a formatting command: line ends become newlines, indents and highlights vanish."""
    if code in ("H", "N"):
        return ""
    command, argument = code[:3], code[3:].strip()
    if command in _LINES and not argument:
        return "\n" if command in (".br", ".ce") else ""
    if command == ".sp":
        count = int(argument) if argument.isascii() and argument.isdigit() else 1
        return "\n" * min(max(count, 1), _MAX_BLANK_LINES)
    if command in (".in", ".ti", ".sk"):
        return " " if command == ".sk" else ""
    return None


def _hexadecimal(code: str, codec: str) -> str | None:
    try:
        return bytes.fromhex(code[1:]).decode(codec)
    except ValueError:
        return None


def unescape(text: str, delimiters: Delimiters, codec: str = "utf-8") -> str:
    """Return the text that a leaf value stands for. Sequences that mean nothing here (Z, C, M) stay as they are."""
    escape = delimiters.escape
    if not escape or escape not in text:
        return text
    named = {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repetition,
        "E": escape,
        "T": delimiters.subcomponent,
        "P": delimiters.truncation or "#",
        "L": delimiters.truncation or "#",
    }
    out: list[str] = []
    at = 0
    while True:
        start = text.find(escape, at)
        end = text.find(escape, start + 1) if start >= 0 else -1
        if end < 0:
            out.append(text[at:])
            return "".join(out)
        code = text[start + 1 : end]
        meaning = named.get(code)
        if meaning is None:
            meaning = _hexadecimal(code, codec) if code[:1] == "X" else _formatted(code)
        if meaning is None:  # not a sequence: the second character may open one
            out.append(text[at:end])
            at = end
        else:
            out.append(text[at:start] + meaning)
            at = end + 1


def escape(text: str, delimiters: Delimiters) -> str:
    """Return text made safe for a field: delimiters and line ends as escape sequences."""
    mark = delimiters.escape
    replacements = [
        (delimiters.field, "F"),
        (delimiters.component, "S"),
        (delimiters.repetition, "R"),
        (delimiters.subcomponent, "T"),
        ("\r", "X0D"),
        ("\n", "X0A"),
    ]
    if not mark:  # MSH-2 defines no escape character: what can't be escaped becomes a blank
        for character, _ in replacements:
            text = text.replace(character, " ") if character else text
        return text
    text = text.replace(mark, f"{mark}E{mark}")
    for character, code in replacements:
        if character:
            text = text.replace(character, f"{mark}{code}{mark}")
    return text
