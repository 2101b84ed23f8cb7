"""Write a concept file from a stream of concepts, https://hl7.org/fhir/R4/codesystem.html.

The records go to the file as they come; codes, hierarchy and postings stay in memory until the end: about 700 bytes for a
concept as SNOMED CT has them, some 250 MB for 300,000. Equal input gives equal bytes.
"""

from __future__ import annotations

import os
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from conformance.terminology.code_system import Concept, Designation, Json, Property
from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.files.hierarchy import invert, order_parents_first
from conformance.terminology.files.layout import (
    ABSTRACT,
    ALIGNMENT,
    COUNT,
    INACTIVE,
    MAGIC,
    PLACE,
    PROPERTY_KEY,
    SECTIONS,
)
from conformance.terminology.files.words import fold, words_of
from conformance.terminology.memory import text_of

Entry = tuple[Concept, Sequence[str]]
"""A concept and the codes of its parents, which may come before or after it."""

_pack = msgspec.msgpack.Encoder().encode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_LARGEST_SIZE = 255
_PROGRESS = 10_000


def write_concepts(
    path: Path, resource: Json, entries: Iterable[Entry], progress: Callable[[int], None] = lambda _: None
) -> int:
    """Write a file with these concepts and return how many there are; the file appears when it is whole.

    ``resource`` is the CodeSystem without its concepts; its ``count`` is set. ``progress`` hears the number of concepts now
    and then. Raises InvalidContent for a code that is there twice, a parent that isn't there, and circles.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            made = _Draft(file)
            for entry in entries:
                made.add(*entry)
                if made.count % _PROGRESS == 0:
                    progress(made.count)
            made.finish(resource)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    progress(made.count)
    return made.count


def _numbers() -> array[int]:
    return array("I")


class _Draft:
    """A file on its way: the records are written, all else is gathered."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        file.write(MAGIC + bytes(COUNT.size + PLACE.size * len(SECTIONS)))
        self._records_at = file.tell()
        self.count = 0
        # A symbol is a code's place among all codes mentioned; a parent may be mentioned before it comes.
        self._symbols: dict[str, int] = {}
        self._symbol_of = array("I")
        self._parents, self._parent_starts = array("I"), array("I", [0])
        self._record_starts = array("Q", [0])
        self._sizes = bytearray()
        self._words: defaultdict[str, array[int]] = defaultdict(_numbers)
        self._values: list[defaultdict[str, array[int]]] = []  # by a property's place
        self._properties: dict[tuple[str, str], int] = {}
        self._uses: dict[bytes, int] = {}
        self._seen = bytearray()

    def add(self, concept: Concept, parents: Sequence[str]) -> None:
        symbol = self._symbol(concept.code)
        if self._seen[symbol]:
            raise InvalidContent(f"the code {concept.code} is there twice")
        self._seen[symbol] = 1
        self._symbol_of.append(symbol)
        if parents:
            self._parents.extend([self._symbol(parent) for parent in dict.fromkeys(parents)])
        self._parent_starts.append(len(self._parents))
        self._add_words(concept)
        record = self._record(concept)
        self._file.write(record)
        self._record_starts.append(self._record_starts[-1] + len(record))
        self.count += 1

    def _symbol(self, code: str) -> int:
        symbol = self._symbols.get(code)
        if symbol is None:
            symbol = self._symbols[code] = len(self._seen)
            self._seen.append(0)
        return symbol

    def _add_words(self, concept: Concept) -> None:
        shown = set(words_of(concept.display)) if concept.display else set()
        self._sizes.append(min(len(shown), _LARGEST_SIZE))
        shown.update(words_of("\n".join([concept.code, *[d.value for d in concept.designations]])))
        number = self.count
        for word in shown:
            self._words[word].append(number)

    def _record(self, concept: Concept) -> bytes:
        flags = concept.abstract * ABSTRACT | concept.inactive * INACTIVE
        designations = [self._designation(designation) for designation in concept.designations]
        properties = [(self._note(known), known.value) for known in concept.properties]
        record = [concept.display, concept.definition, flags or None, designations, properties, concept.extension]
        while record and (record[-1] is None or record[-1] in ([], ())):
            record.pop()
        return _pack(record)

    def _designation(self, designation: Designation) -> tuple[Any, ...]:
        if designation.use is None and not designation.extension:
            return (designation.value, designation.language) if designation.language else (designation.value,)
        use = None
        if designation.use is not None:
            use = self._uses.setdefault(msgspec.json.encode(designation.use), len(self._uses))
        head = (designation.value, designation.language, use)
        return (*head, designation.extension) if designation.extension else head

    def _note(self, known: Property) -> int:
        """Note that this concept has a property; return the property's place."""
        name = (known.code, known.type)
        place = self._properties.get(name)
        if place is None:
            place = self._properties[name] = len(self._properties)
            self._values.append(defaultdict(_numbers))
        value = known.value
        numbers = self._values[place][value if isinstance(value, str) else text_of(value)]
        if not numbers or numbers[-1] != self.count:
            numbers.append(self.count)
        return place

    def finish(self, resource: Json) -> None:
        codes = self._codes()
        numbers = array("I", bytes(4 * len(self._seen)))
        for number, symbol in enumerate(self._symbol_of):
            numbers[symbol] = number
        parents = array("I", [numbers[symbol] for symbol in self._parents])
        starts = self._parent_starts
        self._places["records"] = (self._records_at, self._record_starts[-1])
        self._write("record_starts", self._record_starts)
        meta = {
            "resource": {**resource, "count": self.count},
            "properties": list(self._properties),
            "uses": [msgspec.Raw(use) for use in self._uses],
        }
        self._write("meta", _encode(meta))
        keys = [code.encode() for code in codes]
        self._write_texts("code", keys)
        self._write("by_code", array("I", sorted(range(self.count), key=keys.__getitem__)))
        del keys
        folded = [fold(code) for code in codes]
        self._write("by_folded", array("I", sorted(range(self.count), key=folded.__getitem__)))
        del folded
        self._write("order", order_parents_first(parents, starts, codes.__getitem__))
        self._write("parents", parents)
        self._write("parent_starts", starts)
        children, child_starts = invert(parents, starts)
        self._write("children", children)
        self._write("child_starts", child_starts)
        self._write("roots", array("I", [n for n in range(self.count) if starts[n] == starts[n + 1]]))
        valued = [(PROPERTY_KEY.pack(place), texts.items()) for place, texts in enumerate(self._values)]
        self._write_postings("property", {key + text.encode(): found for key, texts in valued for text, found in texts})
        self._write_postings("word", {word.encode(): numbers for word, numbers in self._words.items()})
        self._write("display_sizes", self._sizes)
        self._file.seek(len(MAGIC))
        self._file.write(COUNT.pack(len(SECTIONS)))
        self._file.write(b"".join(PLACE.pack(*self._places[name]) for name in SECTIONS))

    def _codes(self) -> list[str]:
        """Return the codes by number."""
        named = list(self._symbols)
        for symbol, name in enumerate(named):
            if not self._seen[symbol]:
                place = self._parents.index(symbol)
                child = next(n for n in range(self.count) if self._parent_starts[n + 1] > place)
                raise InvalidContent(f"{name}, parent of {named[self._symbol_of[child]]}, is not among the concepts")
        return [named[symbol] for symbol in self._symbol_of]

    def _write(self, name: str, content: bytes | bytearray | array[int]) -> None:
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        start = self._file.tell()
        self._file.write(content)
        self._places[name] = (start, self._file.tell() - start)

    def _write_texts(self, name: str, texts: Iterable[bytes]) -> None:
        """Write a section ``names`` of texts and ``name_starts``."""
        starts = array("I", [0])
        for text in texts:
            starts.append(starts[-1] + len(text))
        self._write(f"{name}s", b"".join(texts))
        self._write(f"{name}_starts", starts)

    def _write_postings(self, name: str, postings: Mapping[bytes, array[int]]) -> None:
        keys = sorted(postings)
        starts = array("I", [0])
        items = array("I")
        for key in keys:
            items.extend(postings[key])
            starts.append(len(items))
        self._write_texts(f"{name}_key", keys)
        self._write(f"{name}_items", items)
        self._write(f"{name}_item_starts", starts)
