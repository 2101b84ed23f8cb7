"""$meta, $meta-add and $meta-delete, https://hl7.org/fhir/R4/resource-operations.html."""

from __future__ import annotations

from fhir_server.auth.caller import Grant
from tests.interactions.conftest import caller_with
from tests.operations.conftest import Clinic, Resource, names, resource

RED = {"system": "http://tags", "code": "red", "display": "Red"}
BLUE = {"system": "http://tags", "code": "blue"}
SECRET = {"system": "http://labels", "code": "R"}


def _meta(**labels: object) -> Resource:
    return {"name": "meta", "valueMeta": labels}


def _of(answer: Resource) -> Resource:
    meta: Resource = answer["parameter"][0]["valueMeta"]
    return meta


def test_labels_change_in_place_and_are_found(clinic: Clinic) -> None:
    clinic.put(resource("Patient", "m", meta={"tag": [RED]}, birthDate="1970-01-01"))
    before = clinic.fetch("Patient/m")
    added = _of(clinic.call("Patient/m/$meta-add", _meta(tag=[{**RED, "display": "Rouge"}, BLUE], security=[SECRET])))
    assert added == {**before["meta"], "tag": [RED, BLUE], "security": [SECRET]}
    after = clinic.fetch("Patient/m")
    assert after == {**before, "meta": added}
    assert names(clinic.fetch("Patient?_tag=http://tags|blue")) == ["Patient/m"]
    assert names(clinic.fetch("Patient?birthdate=1970-01-01&_security=http://labels|R")) == ["Patient/m"]
    removed = _of(clinic.call("Patient/m/$meta-delete", _meta(tag=[RED, BLUE, {"code": "never"}])))
    assert removed == {name: value for name, value in added.items() if name != "tag"}
    assert names(clinic.fetch("Patient?_tag=http://tags|blue")) == []
    assert _of(clinic.fetch("Patient/m/$meta")) == removed
    assert clinic.fetch("Patient/m/_history")["total"] == 1


def test_a_past_version_has_its_own_labels(clinic: Clinic) -> None:
    clinic.put(resource("Patient", "v", meta={"tag": [RED]}))
    clinic.put(resource("Patient", "v", active=True))
    assert _of(clinic.fetch("Patient/v/_history/1/$meta"))["tag"] == [RED]
    assert "tag" not in _of(clinic.fetch("Patient/v/_history/2/$meta"))
    clinic.call("Patient/v/_history/1/$meta-add", _meta(tag=[BLUE]))
    clinic.call("Patient/v/_history/2/$meta-add", _meta(profile=["http://p"]))
    assert clinic.fetch("Patient/v/_history/1")["meta"]["tag"] == [RED, BLUE]
    assert clinic.fetch("Patient/v")["meta"]["profile"] == ["http://p"]
    assert clinic.refusal("GET", "Patient/v/_history/9/$meta").status == 404


def test_all_labels_of_a_type_and_of_the_system(clinic: Clinic) -> None:
    clinic.put(
        resource("Location", "1", meta={"tag": [RED], "profile": ["http://p/1", "http://p/2"]}),
        resource("Location", "2", meta={"tag": [RED, BLUE]}),
        resource("Location", "3"),
        resource("Medication", "1", meta={"security": [SECRET]}),
    )
    found = _of(clinic.fetch("Location/$meta"))
    assert {t["code"] for t in found["tag"]} == {"red", "blue"}
    assert found["profile"] == ["http://p/1", "http://p/2"]
    assert "security" not in found
    assert [s["code"] for s in _of(clinic.fetch("$meta"))["security"]][:1] == ["R"]
    hidden = caller_with(Grant("Location", frozenset(("read", "operation")), (("_id", "3"),)))
    assert list(_of(clinic.fetch("Location/$meta", hidden))) == ["extension"]
    assert list(_of(clinic.fetch("Medication/$meta"))) == ["security"]


def test_who_may_not_update_may_not_label(clinic: Clinic) -> None:
    clinic.put(resource("Patient", "g"))
    reader = caller_with(Grant("Patient", frozenset(("read", "operation"))))
    body = {"resourceType": "Parameters", "parameter": [_meta(tag=[RED])]}
    assert clinic.refusal("POST", "Patient/g/$meta-add", body, reader).status == 403
    rights = frozenset(("read", "update", "operation"))
    limited = caller_with(Grant("Patient", rights, (("_tag", "http://tags|red"),)))
    assert clinic.refusal("POST", "Patient/g/$meta-add", body, limited).status in (403, 404)
    clinic.call("Patient/g/$meta-add", _meta(tag=[RED]))
    assert clinic.refusal("POST", "Patient/g/$meta-delete", body, limited).status == 403
    assert clinic.refusal("GET", "Patient/g/$meta-add").status == 405
    assert clinic.refusal("GET", "Patient/unknown/$meta").status == 404
