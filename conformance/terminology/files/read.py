"""A code system in a memory-mapped concept file, https://hl7.org/fhir/R4/codesystem.html.

Processes share the pages of the file; a process itself keeps the resource without concepts and a few views. A look-up by
code is a binary search, and no answer materialises more concepts than it has to.
"""

from __future__ import annotations

import mmap
import sys
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from conformance.terminology.code_system import Concept, Designation, Json, Property
from conformance.terminology.files.codes import Above, Below, Codes
from conformance.terminology.files.layout import ABSTRACT, COUNT, INACTIVE, MAGIC, PLACE, PROPERTY_KEY, SECTIONS, WIDE
from conformance.terminology.files.postings import Postings
from conformance.terminology.files.search import search
from conformance.terminology.files.words import fold, words_of

_TEXTS = frozenset(("meta", "codes", "records", "property_keys", "word_keys", "display_sizes"))
_unpack = msgspec.msgpack.Decoder().decode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_EMPTY: tuple[Any, ...] = (None, None, None, (), (), ())


class ConceptFile:
    """The code system of a file: see :class:`conformance.terminology.code_system.CodeSystem`.

    Raises ValueError when the file is no concept file, or not a whole one.
    """

    def __init__(self, path: Path) -> None:
        section = _sections(path)
        self._codes: memoryview = section["codes"]
        self._code_starts: Sequence[int] = section["code_starts"]
        self._records: memoryview = section["records"]
        self._record_starts: Sequence[int] = section["record_starts"]
        self._by_code: Sequence[int] = section["by_code"]
        self._by_folded: Sequence[int] = section["by_folded"]
        self._order: Sequence[int] = section["order"]
        self._parents: Sequence[int] = section["parents"]
        self._parent_starts: Sequence[int] = section["parent_starts"]
        self._children: Sequence[int] = section["children"]
        self._child_starts: Sequence[int] = section["child_starts"]
        self._roots: Sequence[int] = section["roots"]
        self._values, self._words = (
            Postings(*(section[f"{name}_{part}"] for part in ("keys", "key_starts", "items", "item_starts")))
            for name in ("property", "word")
        )
        self._display_sizes: memoryview = section["display_sizes"]
        meta = _decode(section["meta"])
        self._resource: Json = meta["resource"]
        self._uses: list[Json] = meta["uses"]
        self._properties: list[tuple[str, str]] = [(code, type_) for code, type_ in meta["properties"]]

    @property
    def resource(self) -> Json:
        """The CodeSystem resource without its concepts."""
        return self._resource

    def __len__(self) -> int:
        return len(self._by_code)

    def number_of(self, code: str) -> int | None:
        """Return the place of a code in the source."""
        key = code.encode(errors="surrogatepass")
        place = bisect_left(self._by_code, key, key=self._code_bytes)
        if place < len(self._by_code) and self._code_bytes(self._by_code[place]) == key:
            return self._by_code[place]
        return None

    def code_at(self, number: int) -> str:
        """Return the code at a place of the source."""
        return self._code_bytes(number).decode()

    def _code_bytes(self, number: int) -> bytes:
        return bytes(self._codes[self._code_starts[number] : self._code_starts[number + 1]])

    def find(self, code: str) -> Concept | None:
        """Return a concept by its exact code."""
        number = self.number_of(code)
        return None if number is None else self._concept(number)

    def find_folded(self, code: str) -> Concept | None:
        """Return a concept whose code differs in nothing but case, the exact one if it is there."""
        exact = self.find(code)
        if exact is not None:
            return exact
        wanted = code.casefold()
        key = fold(code)
        place = bisect_left(self._by_folded, key, key=lambda number: fold(self.code_at(number)))
        while place < len(self._by_folded):
            found = self.code_at(self._by_folded[place])
            if fold(found) != key:
                break
            if found.casefold() == wanted:
                return self._concept(self._by_folded[place])
            place += 1
        return None

    def _concept(self, number: int) -> Concept:
        display, definition, flags, designations, properties, extension = self._record(number)
        return Concept(
            self.code_at(number),
            display,
            definition,
            tuple(self._designation(*parts) for parts in designations),
            tuple(self._property(place, value) for place, value in properties),
            bool((flags or 0) & ABSTRACT),
            bool((flags or 0) & INACTIVE),
            tuple(extension),
        )

    def _record(self, number: int) -> tuple[Any, ...]:
        record = _unpack(self._records[self._record_starts[number] : self._record_starts[number + 1]])
        return (*record, *_EMPTY[len(record) :])

    def _designation(
        self, value: str, language: str | None = None, use: int | None = None, extension: Sequence[Json] = ()
    ) -> Designation:
        return Designation(value, language, None if use is None else self._uses[use], tuple(extension))

    def _property(self, place: int, value: Any) -> Property:
        code, type_ = self._properties[place]
        return Property(code, type_, Decimal(value) if type_ == "decimal" else value)

    def codes(self) -> Iterator[str]:
        """Yield all codes, parents before children, in the order of the source."""
        return map(self.code_at, self._order or range(len(self)))

    def roots(self) -> Sequence[str]:
        """Return the codes that have no parent, in order."""
        return [self.code_at(number) for number in self._roots]

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes directly above; none for a code that isn't there."""
        number = self.number_of(code)
        return [] if number is None else [self.code_at(n) for n in self.parents_at(number)]

    def children(self, code: str) -> Sequence[str]:
        """Return the codes directly below, in order; none for a code that isn't there."""
        number = self.number_of(code)
        return [] if number is None else [self.code_at(n) for n in self.children_at(number)]

    def parents_at(self, number: int) -> Sequence[int]:
        """Return the places of the concepts directly above."""
        return self._parents[self._parent_starts[number] : self._parent_starts[number + 1]]

    def children_at(self, number: int) -> Sequence[int]:
        """Return the places of the concepts directly below."""
        return self._children[self._child_starts[number] : self._child_starts[number + 1]]

    def below(self, code: str) -> Collection[str]:
        """Return the code and all that it subsumes; whether a code is among them is known without listing them."""
        number = self.number_of(code)
        return () if number is None else Below(self, number)

    def above(self, code: str) -> Collection[str]:
        """Return the code and all that subsume it; nothing for a code that isn't there."""
        number = self.number_of(code)
        return () if number is None else Above(self, number)

    def having(self, name: str, values: Iterable[str]) -> Collection[str]:
        """Return the codes with a property ``name`` of one of these values."""
        texts = [value.encode(errors="surrogatepass") for value in values]
        keys = [key + text for text in texts for key in self._property_keys(name)]
        return Codes(self, [self._values.exactly(key) for key in dict.fromkeys(keys)])

    def with_property(self, name: str) -> Collection[str]:
        """Return the codes that have a property at all."""
        return Codes(self, [sorted(set(self._values.starting(key))) for key in self._property_keys(name)])

    def _property_keys(self, name: str) -> list[bytes]:
        return [PROPERTY_KEY.pack(place) for place, (code, _) in enumerate(self._properties) if code == name]

    def search(self, text: str) -> Iterator[str]:
        """Yield the codes that a text finds, best match first, then in order: see :mod:`.search`."""
        return map(self.code_at, search(self, self._words, text))

    def words_at(self, number: int) -> set[str]:
        """Return the words by which a concept is found."""
        display, _, _, designations, *_ = self._record(number)
        return set(words_of("\n".join((self.code_at(number), display or "", *(d[0] for d in designations)))))

    def display_words_at(self, number: int) -> int:
        """Return how many different words a display has, at most 255."""
        return self._display_sizes[number]


def _sections(path: Path) -> dict[str, Any]:
    """Map a file and return views of its sections: of bytes for texts, else of numbers."""
    if sys.byteorder != "little":
        raise ValueError("concept files can be mapped on little-endian machines only")
    head = len(MAGIC) + COUNT.size + PLACE.size * len(SECTIONS)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < head:
            raise ValueError(f"{path} is not a concept file")
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if content[: len(MAGIC)] != MAGIC or COUNT.unpack_from(content, len(MAGIC))[0] != len(SECTIONS):
        raise ValueError(f"{path} is not a concept file")
    sections: dict[str, Any] = {}
    for name, (start, length) in zip(SECTIONS, PLACE.iter_unpack(content[len(MAGIC) + COUNT.size : head]), strict=True):
        if start + length > size:
            raise ValueError(f"{path} is cut off")
        view = content[start : start + length]
        sections[name] = view if name in _TEXTS else view.cast("Q" if name in WIDE else "I")
    return sections
