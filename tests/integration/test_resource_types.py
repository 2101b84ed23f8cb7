"""create, read, search, update and delete of all 146 types."""

from __future__ import annotations

import httpx
import pytest

from conformance.definitions import resource_types
from tests.integration.answers import create, find, outcome_of, resource_of
from tests.integration.minimal import minimal


@pytest.mark.parametrize("name", resource_types())
def test_the_smallest_resource_of_a_type_lives_a_whole_life(client: httpx.Client, name: str) -> None:
    sent = minimal(name)
    stored = create(client, sent)
    id_ = stored["id"]
    assert stored == {**sent, "id": id_, "meta": {"versionId": "1", "lastUpdated": stored["meta"]["lastUpdated"]}}
    assert resource_of(client.get(f"/{name}/{id_}")) == stored
    assert find(client, name, _id=id_) == [stored]
    updated = resource_of(client.put(f"/{name}/{id_}", json={**stored, "language": "de"}))
    assert (updated["meta"]["versionId"], updated["language"]) == ("2", "de")
    assert client.delete(f"/{name}/{id_}").status_code == 204
    outcome_of(client.get(f"/{name}/{id_}"), 410)
    assert find(client, name, _id=id_) == []
