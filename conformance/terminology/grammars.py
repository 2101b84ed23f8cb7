"""Code systems that are grammars, not lists: https://hl7.org/fhir/R4/terminologies-systems.html.

UCUM units, BCP-47 languages and MIME types are recognised by rule. They can be asked for a code, not for all codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from conformance import ucum
from conformance.terminology.code_system import Concept, Json

LANGUAGES = "urn:ietf:bcp:47"
MIME_TYPES = "urn:ietf:bcp:13"

# https://www.rfc-editor.org/rfc/rfc5646#section-2.1, without the irregular tags of old
_LANGUAGE = re.compile(
    r"(?:(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4}|[a-z]{5,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|\d{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*(?:-[0-9a-wyz](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+)",
    re.IGNORECASE,
)
# https://www.rfc-editor.org/rfc/rfc6838#section-4.2 and the parameters of https://www.rfc-editor.org/rfc/rfc2045#section-5.1
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&\-^_.+]{0,126}"
_TOKEN = r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+"  # noqa: S105 - a token of MIME
_MIME_TYPE = re.compile(rf"{_NAME}/{_NAME}(?: ?; ?{_TOKEN}=(?:{_TOKEN}|\"[^\"\\]*\"))*")


class GrammarCodeSystem:
    """A code system whose codes are what a rule accepts."""

    def __init__(self, url: str, title: str, accepts: Callable[[str], bool], *, case_sensitive: bool) -> None:
        self.resource: Json = {
            "resourceType": "CodeSystem", "url": url, "name": title.replace("-", ""), "title": title,
            "status": "active", "content": "not-present", "compositional": True, "caseSensitive": case_sensitive,
        }  # fmt: skip
        self._accepts = accepts

    def __len__(self) -> int:
        """Return 0: there is no count of them."""
        return 0

    def find(self, code: str) -> Concept | None:
        """Return what the rule accepts as a concept; its display is the code."""
        return Concept(code, code) if self._accepts(code) else None

    def find_folded(self, code: str) -> Concept | None:
        """Return None: what differs in case is accepted by itself, or is another code."""
        del code
        return None

    def codes(self) -> Iterator[str]:
        """Yield nothing: the codes can't be listed."""
        return iter(())

    def roots(self) -> Sequence[str]:
        """Return nothing."""
        return ()

    def parents(self, code: str) -> Sequence[str]:
        """Return nothing: there is no hierarchy."""
        del code
        return ()

    def children(self, code: str) -> Sequence[str]:
        """Return nothing: there is no hierarchy."""
        del code
        return ()

    def below(self, code: str) -> Collection[str]:
        """Return the code itself."""
        return (code,) if self._accepts(code) else ()

    def above(self, code: str) -> Collection[str]:
        """Return the code itself."""
        return (code,) if self._accepts(code) else ()

    def having(self, name: str, values: Iterable[str]) -> Collection[str]:
        """Return nothing: there are no properties."""
        del name, values
        return ()

    def with_property(self, name: str) -> Collection[str]:
        """Return nothing: there are no properties."""
        del name
        return ()

    def search(self, text: str) -> Iterator[str]:
        """Yield the text if it is a code."""
        return iter((text,) if self._accepts(text) else ())


GRAMMARS: dict[str, GrammarCodeSystem] = {
    system.resource["url"]: system
    for system in (
        GrammarCodeSystem(ucum.SYSTEM, "UCUM", lambda code: ucum.canonical(code) is not None, case_sensitive=True),
        GrammarCodeSystem(LANGUAGES, "BCP-47", lambda c: _LANGUAGE.fullmatch(c) is not None, case_sensitive=False),
        GrammarCodeSystem(MIME_TYPES, "BCP-13", lambda c: _MIME_TYPE.fullmatch(c) is not None, case_sensitive=False),
    )
}
"""The grammars by the URL of their code system."""
