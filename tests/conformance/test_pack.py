"""A pack gives back what was put in, by canonical URL and version."""

from decimal import Decimal
from pathlib import Path

import pytest

from conformance.pack import Pack, write_pack


def value_set(url: str, version: str, **more: object) -> dict[str, object]:
    return {"resourceType": "ValueSet", "url": url, "version": version, **more}


def test_finds_by_url_and_version(tmp_path: Path) -> None:
    one, two = value_set("http://x/a", "1", number=Decimal("1.10")), value_set("http://x/a", "2", title="é")
    other = {"resourceType": "CodeSystem", "url": "http://x/a", "count": 3}
    assert write_pack(tmp_path / "p", [one, two, other]) == 3
    pack = Pack(tmp_path / "p")
    found = pack.find("ValueSet", "http://x/a|1")
    assert found == one
    assert str(found["number"]) == "1.10"
    assert pack.find("ValueSet", "http://x/a") == two
    assert pack.find("ValueSet", "http://x/a|3") is None
    assert pack.find("CodeSystem", "http://x/a") == other
    assert pack.find("CodeSystem", "http://x/b") is None
    assert ("CodeSystem", "http://x/a") in pack
    assert ("ConceptMap", "http://x/a") not in pack
    assert pack.urls("ValueSet") == ["http://x/a"]
    assert pack.versions("ValueSet", "http://x/a") == ["2", "1"]
    assert pack.versions("ValueSet", "http://x/b") == []
    assert list(pack.resources("ValueSet")) == [one, two]


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    resources = [value_set(f"http://x/{n}", "1", number=n) for n in range(20)]
    write_pack(tmp_path / "p", resources)
    write_pack(tmp_path / "q", resources)
    assert (tmp_path / "p").read_bytes() == (tmp_path / "q").read_bytes()


def test_refuses_another_file(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match="not a pack"):
        Pack(tmp_path / "p")


def test_naming_systems_by_their_unique_ids(tmp_path: Path) -> None:
    named = {
        "resourceType": "NamingSystem",
        "uniqueId": [{"type": "oid", "value": "1.2.3"}, {"type": "uri", "value": "http://x/n"}, {"value": "plain"}],
    }
    assert write_pack(tmp_path / "p", [named]) == 1
    pack = Pack(tmp_path / "p")
    for identifier in ("urn:oid:1.2.3", "http://x/n", "plain"):
        assert pack.find("NamingSystem", identifier) == named
    assert pack.find("NamingSystem", "1.2.3") is None
