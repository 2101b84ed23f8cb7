"""How the bytes of a message become text, and which characters delimit it.

HL7 v2.9 chapter 2.5 (delimiters), 2.14.9.18 and table 0211 (MSH-18), https://www.hl7.eu/HL7v2x/v29/std29/ch02.html.
"""

from __future__ import annotations

from dataclasses import dataclass

_CODECS = {
    "ASCII": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc-kr",
    "BIG-5": "big5",
    "WINDOWS-1252": "cp1252",
    "CP1252": "cp1252",
}
_DEFAULT_ESCAPE = 2
_DEFAULT_SUBCOMPONENT = 3
_DEFAULT_TRUNCATION = 4


class HeaderError(ValueError):
    """The bytes can't be read as a message at all; ``code`` is from table 0357, ``location`` an ERR-2 (``MSH^1^2``)."""

    def __init__(self, reason: str, location: str = "MSH^1", code: str = "100") -> None:
        super().__init__(reason)
        self.reason = reason
        self.location = location
        self.code = code


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The delimiter characters of one message; ``""`` stands for one that MSH-2 does not define."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""

    @property
    def encoding_characters(self) -> str:
        """MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


STANDARD = Delimiters()


def delimiters_of(header: str) -> Delimiters:
    """Read the delimiters from a header segment; raises HeaderError when they can't be told apart."""
    separator = header[3:4]
    if not separator or separator.isalnum() or separator.isspace():
        raise HeaderError("MSH-1 is not a field separator.", "MSH^1^1", "102")
    characters = header[4:].split(separator, 1)[0].rstrip()
    if header.startswith("MSH|^~\\&|"):
        return STANDARD
    if not characters:
        raise HeaderError("MSH-2 names no encoding characters.", "MSH^1^2", "101")
    characters = characters[:5]
    if len(set(characters + separator)) != len(characters) + 1 or any(c.isalnum() for c in characters):
        raise HeaderError("MSH-2 repeats a character or uses a letter or digit.", "MSH^1^2", "102")
    given = [*characters, "", "", "", "", ""]
    return Delimiters(
        separator, given[0], given[1], given[_DEFAULT_ESCAPE], given[_DEFAULT_SUBCOMPONENT], given[_DEFAULT_TRUNCATION]
    )


def decode(raw: bytes, declared: str) -> tuple[str, str, bool]:
    """Decode a message: (text, codec, fallback). ``declared`` is MSH-18's first repetition, perhaps empty.

    ``fallback`` tells that the declared character set (or, with none declared, UTF-8) did not fit the bytes: then
    UTF-8 and Windows-1252 are tried. Every codec used here gives the same bytes back when the text is encoded again.
    """
    codec = _CODECS.get(declared.strip().upper()) if declared.strip() else "utf-8"
    if codec is not None:
        try:
            return raw.decode(codec), codec, False
        except UnicodeDecodeError:
            pass
    for candidate in ("utf-8", "cp1252"):
        try:
            return raw.decode(candidate), candidate, True
        except UnicodeDecodeError:
            continue
    return raw.decode("iso8859-1"), "iso8859-1", True
