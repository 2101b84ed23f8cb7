"""Locations by their position, on PostgreSQL and in memory."""

from __future__ import annotations

import pytest

from fhir_server.auth.caller import Grant
from fhir_server.search.errors import InvalidSearch
from tests.search.test_modifiers import agree
from tests.search.world import World

PLACES = {
    "berlin": (52.5200, 13.4050), "potsdam": (52.3906, 13.0645), "paris": (48.8566, 2.3522), "fiji": (-17.7134, 178.0650),
    "samoa": (-13.7590, -172.1046), "pole": (90, 0), "greenwich": (51.4769, 0),
}  # fmt: skip


@pytest.fixture
def globe(world: World) -> World:
    for id_, (latitude, longitude) in PLACES.items():
        position = {"latitude": latitude, "longitude": longitude}
        world.put({"resourceType": "Location", "id": id_, "position": position})
    world.put({"resourceType": "Location", "id": "nowhere"})
    world.put({"resourceType": "Location", "id": "off", "position": {"latitude": 91, "longitude": 0}})
    return world


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("52.52|13.405", {"berlin", "potsdam"}), ("52.52|13.405|10", {"berlin"}), ("52.52|13.405|27|km", {"berlin"}),
        ("52.52|13.405|28|km", {"berlin", "potsdam"}), ("52.52|13.405|28000|m", {"berlin", "potsdam"}),
        ("52.52|13.405|16|[mi_i]", {"berlin"}), ("52.52|13.405|18|[mi_i]", {"berlin", "potsdam"}),
        ("52.52|13.405|0", {"berlin"}), ("52.52|13.405|880|km", {"berlin", "potsdam", "paris"}),
        ("-15|-179|1000|km", {"fiji", "samoa"}), ("-15|179|400|km", {"fiji"}), ("89|180|200|km", {"pole"}),
        ("0|0|30000|km", set(PLACES)), ("48.85|2.35,51.5|0", {"paris", "greenwich"}), ("52.52|13.405||km", {"berlin", "potsdam"}),
    ],
)  # fmt: skip
def test_near_measures_on_the_globe(globe: World, value: str, wanted: set[str]) -> None:
    agree(globe, "Location", "near", value, wanted)


def test_missing_positions(globe: World) -> None:
    agree(globe, "Location", "near:missing", "true", {"nowhere", "off"})


def test_a_grant_may_name_a_region(globe: World) -> None:
    caller = globe.caller((Grant(criteria=(("near", "52.52|13.405|100"),)),))
    assert set(globe.ids("Location", caller=caller)) == {"berlin", "potsdam"}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "52",
        "x|13",
        "52|y",
        "91|0",
        "0|181",
        "0|0|-1",
        "0|0|far",
        "0|0|1|kg",
        "0|0|1|miles",
        "0|0|1|km|x",
        "NaN|0",
        "0|0|1e999",
    ],
)
def test_bad_positions_are_named(globe: World, value: str) -> None:
    if value:
        with pytest.raises(InvalidSearch) as refused:
            globe.page("Location", ("near", value))
        assert value in refused.value.issues[0].diagnostics
    else:
        assert len(globe.ids("Location", ("near", value))) == len(PLACES) + 2
