"""A concept file answers as plain dicts would, whatever the code system; and says what it can't take."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.terminology.code_system import CodeSystem, Concept, Designation, Property
from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.files.read import ConceptFile
from conformance.terminology.files.write import write_concepts
from tests.conformance.terminology.files.naive import Entry, Naive

RESOURCE = {"resourceType": "CodeSystem", "url": "http://example.org/c", "version": "1", "content": "complete"}
words = st.lists(st.sampled_from(["Type", "type", "2", "typhoid", "Ménière", "maladie", "ß", "a"]), max_size=4)
texts = words.map(" ".join)
codes = st.one_of(
    st.text("aAbB1.-é", min_size=1, max_size=4), st.text(st.characters(codec="utf-8"), min_size=1, max_size=3)
)
uses = st.sampled_from([None, {"system": "http://x", "code": "a"}, {"code": "b"}])
extensions = st.sampled_from([(), ({"url": "http://x", "valueString": "y"},)])
designations = st.builds(Designation, texts, st.sampled_from([None, "de", "fr-CA"]), uses, extensions)
properties = st.one_of(
    st.builds(Property, st.sampled_from(["p", "q"]), st.just("string"), st.sampled_from(["x", "xy", "", "é"])),
    st.builds(Property, st.just("p"), st.just("decimal"), st.sampled_from([Decimal("1.10"), Decimal("1.1")])),
    st.builds(Property, st.just("n"), st.just("integer"), st.integers(-5, 5)),
    st.builds(Property, st.just("inactive"), st.just("boolean"), st.booleans()),
    st.builds(Property, st.just("c"), st.just("Coding"), st.just({"system": "http://x", "code": "z"})),
)


@st.composite
def code_systems(draw: st.DrawFn) -> list[Entry]:
    names = draw(st.lists(codes, unique=True, max_size=12))
    made: list[Entry] = []
    for place, code in enumerate(names):
        concept = Concept(
            code,
            draw(st.one_of(st.none(), texts)),
            draw(st.one_of(st.none(), texts)),
            tuple(draw(st.lists(designations, max_size=2))),
            tuple(draw(st.lists(properties, max_size=3))),
            draw(st.booleans()),
            draw(st.booleans()),
            draw(extensions),
        )
        parents = draw(st.lists(st.sampled_from(names[:place]), max_size=2)) if place else []
        made.append((concept, parents))
    return draw(st.permutations(made))


def as_file(folder: str | Path, entries: list[Entry]) -> ConceptFile:
    path = Path(folder) / "c.concepts"
    assert write_concepts(path, RESOURCE, entries) == len(entries)
    return ConceptFile(path)


@settings(deadline=None, max_examples=150)
@given(code_systems())
def test_concepts_and_hierarchy(entries: list[Entry]) -> None:
    naive = Naive(entries)
    with TemporaryDirectory() as folder:
        system: CodeSystem = as_file(folder, entries)
        assert system.resource == {**RESOURCE, "count": len(entries)}
        assert len(system) == len(entries)
        listed = list(system.codes())
        assert sorted(listed) == sorted(naive.concepts)
        place = {code: number for number, code in enumerate(listed)}
        assert all(place[parent] < place[code] for code in listed for parent in naive.above_of[code])
        assert list(system.roots()) == naive.roots()
        for code, concept in naive.concepts.items():
            assert system.find(code) == concept
            assert system.find_folded(code) == concept
            assert list(system.parents(code)) == naive.above_of[code]
            assert list(system.children(code)) == naive.children(code)
            below, above = system.below(code), system.above(code)
            assert [other for other in listed if other in below] == [o for o in listed if o in naive.below(code)]
            assert sorted(below) == sorted(naive.below(code))
            assert len(below) == len(naive.below(code))
            assert sorted(above) == sorted(naive.above(code))
            assert all((other in above) == (other in naive.above(code)) for other in listed)


@settings(deadline=None, max_examples=150)
@given(code_systems(), st.one_of(texts, codes))
def test_properties_and_search(entries: list[Entry], text: str) -> None:
    naive = Naive(entries)
    with TemporaryDirectory() as folder:
        system = as_file(folder, entries)
        for name in ("p", "q", "n", "inactive", "c", "absent"):
            assert set(system.with_property(name)) == naive.with_property(name)
            for values in (["x"], ["x", "xy", "xyz"], ["1.1"], ["-1", "1"], ["true"], ["z"], []):
                found = system.having(name, values)
                assert set(found) == naive.having(name, values)
                assert all((code in found) == (code in naive.having(name, values)) for code in naive.concepts)
        assert list(system.search(text)) == naive.found(text)
        for prefix in ("t", "ty", "typ 2", "type", "a", "meniere", "SS", "TYPE 2", "b"):
            assert list(system.search(prefix)) == naive.found(prefix)


@settings(deadline=None, max_examples=30)
@given(code_systems())
def test_equal_input_gives_equal_bytes(entries: list[Entry]) -> None:
    with TemporaryDirectory() as folder:
        as_file(folder, entries)
        first = (Path(folder) / "c.concepts").read_bytes()
        as_file(folder, entries)
        assert (Path(folder) / "c.concepts").read_bytes() == first


def test_absent_codes(tmp_path: Path) -> None:
    system = as_file(tmp_path, [(Concept("Ab", "x"), []), (Concept("AB", "y"), [])])
    assert system.find("ab") is None
    folded = system.find_folded("aB")
    assert folded is not None
    assert folded.code == "Ab"
    exact = system.find_folded("AB")
    assert exact is not None
    assert exact.display == "y"
    assert system.find_folded("abc") is None
    assert system.find_folded("áb") is None
    assert not system.parents("z")
    assert not system.children("z")
    assert len(system.below("z")) == len(system.above("z")) == 0
    assert "z" not in system.below("Ab")
    assert system.find("\udc80") is None
    assert not system.having("p", ["\udc80"])


def test_no_concepts(tmp_path: Path) -> None:
    system = as_file(tmp_path, [])
    assert len(system) == 0
    assert list(system.codes()) == list(system.search("a")) == list(system.search("")) == []
    assert system.find("") is None


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a", []), ("b", []), ("a", [])], "the code a is there twice"),
        ([("a", []), ("b", ["a", "c"])], "c, parent of b, is not among the concepts"),
        ([("a", ["c"]), ("b", ["a"]), ("c", ["b"])], "the hierarchy is a circle: a below c below b below a"),
        ([("a", ["a"])], "the hierarchy is a circle: a below a"),
    ],
)
def test_refuses_contradictions(tmp_path: Path, entries: list[tuple[str, list[str]]], message: str) -> None:
    with pytest.raises(InvalidContent, match=message):
        as_file(tmp_path, [(Concept(code, None), parents) for code, parents in entries])
    assert list(tmp_path.iterdir()) == []


def test_deep_hierarchy(tmp_path: Path) -> None:
    entries: list[Entry] = [(Concept(str(n), None), [str(n + 1)]) for n in range(20_000)]
    system = as_file(tmp_path, [*entries, (Concept("20000", None), [])])
    assert next(system.codes()) == "20000"
    assert "0" in system.below("20000")
    assert len(system.above("0")) == 20_001


@pytest.mark.parametrize("change", ["short", "magic", "cut"])
def test_other_files_are_refused(tmp_path: Path, change: str) -> None:
    as_file(tmp_path, [(Concept("a", "b"), [])])
    path = tmp_path / "c.concepts"
    content: Any = path.read_bytes()
    path.write_bytes({"short": content[:20], "magic": b"x" + content[1:], "cut": content[:-8]}[change])
    with pytest.raises(ValueError, match="cut off" if change == "cut" else "not a concept file"):
        ConceptFile(path)
