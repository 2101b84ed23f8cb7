from tests.search.world import World


def test_smoke(world: World) -> None:
    world.put({"resourceType": "Patient", "id": "a", "gender": "male", "birthDate": "2000-01-01", "name":[{"family":"Müller"}]})
    world.put({"resourceType": "Patient", "id": "b"})
    world.put({"resourceType": "Observation", "id": "o", "status":"final","code":{"coding":[{"system":"l","code":"1"}]},"subject":{"reference":"Patient/a"},"valueQuantity":{"value":5.4,"unit":"mg"}})
    assert world.ids("Patient") == ["b", "a"]
    assert world.ids("Patient", ("gender", "male")) == ["a"]
    assert world.ids("Patient", ("gender", "http://hl7.org/fhir/administrative-gender|male")) == ["a"]
    assert world.ids("Patient", ("name", "mull")) == ["a"]
    assert world.ids("Patient", ("family:exact", "Müller")) == ["a"]
    assert world.ids("Patient", ("birthdate", "ge1999"),("_sort","birthdate,-name")) == ["a"]
    assert world.ids("Patient", ("birthdate:missing", "true")) == ["b"]
    p = world.page("Observation", ("patient", "a"),("code","l|1"),("value-quantity","5.4||mg"),("_include","Observation:subject"),("_total","accurate"))
    assert [m.id for m in p.matches]==["o"] and [m.id for m in p.included]==["a"] and p.total==1
    p = world.page("Patient", ("_revinclude", "Observation:subject"))
    assert [m.id for m in p.included]==["o"]
    assert world.walk("Patient", ("_count","1"),("_sort","-birthdate")) == ["a","b"]
    assert world.walk("Patient", ("_count","1"),("_sort","_id")) == ["a","b"]
