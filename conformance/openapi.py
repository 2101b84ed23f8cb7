"""The REST API as an OpenAPI 3.1 document, from the same registries as the CapabilityStatement.

https://hl7.org/fhir/R4/http.html and https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from conformance.capability import ABSTRACT
from conformance.definitions import SearchParameter, compartments, types
from conformance.json_schema import REFERENCES, Schema, schemas

JSON = "application/fhir+json"
_TEXT: Schema = {"type": "string"}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}}
_VERSION = {
    "name": "vid",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": r"^[1-9][0-9]{0,8}$"},
}
_CONTROLS = ("_sort", "_include", "_revinclude", "_elements", "_filter", "_has")
_HISTORY = ("_since", "_at")
_PATCHES = ("application/json-patch+json", "application/xml-patch+xml")


def openapi(
    *,
    software_version: str,
    base_url: str,
    resource_types: Iterable[str],
    search_parameters: Mapping[str, Sequence[SearchParameter]],
    operations: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the document for some resource types, and for what concerns no single type.

    ``search_parameters`` maps each type to those that work on it; ``operations`` are OperationDefinitions.
    """
    described = list(resource_types)
    paths: dict[str, Any] = {"/": {"get": _system_search(), "post": _bundle()}, **_system()}
    for definition in operations:
        if definition["system"]:
            paths[f"/${definition['code']}"] = _operation(definition, "system", [])
    for name in described:
        paths |= _resource_paths(name, search_parameters.get(name, ()), operations)
    needed = [*described, "Bundle", "OperationOutcome", "CapabilityStatement", "Parameters"]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Praxis", "version": software_version, "description": "FHIR R4 (4.0.1) REST API"},
        "servers": [{"url": base_url}],
        "security": [{"bearer": []}, {}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": {"Refused": _content("what is wrong", "OperationOutcome")},
            "schemas": schemas(needed),
        },
    }


def _reference(name: str) -> Schema:
    return {"$ref": f"{REFERENCES}{name}"}


def _content(description: str, name: str) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": _reference(name)}}}


def _responses(**answers: dict[str, Any]) -> dict[str, Any]:
    return {status.removeprefix("s"): answer for status, answer in answers.items()} | {
        "4XX": {"$ref": "#/components/responses/Refused"},
        "5XX": {"$ref": "#/components/responses/Refused"},
    }


def _body(name: str, others: Sequence[str] = ()) -> dict[str, Any]:
    content = {JSON: {"schema": _reference(name)}, **{media_type: {"schema": {}} for media_type in others}}
    return {"required": True, "content": content}


def _query(name: str, description: str = "", schema: Schema | None = None) -> dict[str, Any]:
    """Describe a query parameter; each may be given several times."""
    array = {"type": "array", "items": schema or _TEXT}
    described = {"description": description} if description else {}
    return {"name": name, "in": "query", **described, "style": "form", "explode": True, "schema": array}


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": _TEXT}


def _paging() -> list[dict[str, Any]]:
    return [{"name": "_count", "in": "query", "schema": {"type": "integer", "minimum": 0}}]


def _controls() -> list[dict[str, Any]]:
    return [
        *_paging(),
        *(_query(name) for name in _CONTROLS),
        {"name": "_total", "in": "query", "schema": {"enum": ["none", "estimate", "accurate"]}},
        {"name": "_summary", "in": "query", "schema": {"enum": ["true", "text", "data", "count", "false"]}},
    ]


def _parameters(parameters: Sequence[SearchParameter]) -> list[dict[str, Any]]:
    return [_query(p.code, f"{p.type}. {p.description}".strip()) for p in parameters] + _controls()


def _form(parameters: Sequence[SearchParameter]) -> dict[str, Any]:
    properties = {p.code: _TEXT for p in parameters}
    form = {"type": "object", "properties": properties, "additionalProperties": _TEXT}
    return {"content": {"application/x-www-form-urlencoded": {"schema": form}}}


def _found() -> dict[str, Any]:
    return _responses(s200=_content("a searchset", "Bundle"))


def _system_search() -> dict[str, Any]:
    asked = [_query("_type"), _query("_id"), _query("_lastUpdated"), *_controls()]
    return {"operationId": "search-system", "parameters": asked, "responses": _found()}


def _bundle() -> dict[str, Any]:
    return {
        "operationId": "transaction",
        "summary": "batch or transaction",
        "requestBody": _body("Bundle"),
        "responses": _responses(s200=_content("the entries' responses", "Bundle")),
    }


def _system() -> dict[str, Any]:
    statement = _responses(s200=_content("what the server can do", "CapabilityStatement"))
    return {
        "/metadata": {"get": {"operationId": "capabilities", "security": [{}], "responses": statement}},
        "/_history": {"get": _history("history-system", [])},
    }


def _history(operation_id: str, place: list[dict[str, Any]]) -> dict[str, Any]:
    asked = [*place, *_paging(), *(_query(name) for name in _HISTORY)]
    return {
        "operationId": operation_id,
        "parameters": asked,
        "responses": _responses(s200=_content("a history", "Bundle")),
    }


def _resource_paths(
    name: str, parameters: Sequence[SearchParameter], operations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    stored = _content(f"the {name}", name)
    written = _responses(s200=stored, s201=stored)
    gone = _responses(s200=_content("what was deleted", "OperationOutcome"), s204={"description": "deleted"})
    query = [_query(p.code) for p in parameters]
    match = _header("If-Match")
    paths: dict[str, Any] = {
        f"/{name}": {
            "get": {"operationId": f"search-{name}", "parameters": _parameters(parameters), "responses": _found()},
            "post": {
                "operationId": f"create-{name}",
                "parameters": [_header("If-None-Exist"), _header("Prefer")],
                "requestBody": _body(name),
                "responses": written,
            },
            "put": {
                "operationId": f"update-by-query-{name}",
                "parameters": [*query, match],
                "requestBody": _body(name),
                "responses": written,
            },
            "patch": {
                "operationId": f"patch-by-query-{name}",
                "parameters": [*query, match],
                "requestBody": _body("Parameters", _PATCHES),
                "responses": written,
            },
            "delete": {"operationId": f"delete-by-query-{name}", "parameters": query, "responses": gone},
        },
        f"/{name}/_search": {
            "post": {"operationId": f"search-form-{name}", "requestBody": _form(parameters), "responses": _found()}
        },
        f"/{name}/_history": {"get": _history(f"history-type-{name}", [])},
        f"/{name}/{{id}}": {
            "get": {
                "operationId": f"read-{name}",
                "parameters": [_ID, _header("If-None-Match"), _header("If-Modified-Since")],
                "responses": _responses(s200=stored, s304={"description": "not modified"}),
            },
            "put": {
                "operationId": f"update-{name}",
                "parameters": [_ID, match, _header("If-None-Match"), _header("Prefer")],
                "requestBody": _body(name),
                "responses": written,
            },
            "patch": {
                "operationId": f"patch-{name}",
                "parameters": [_ID, match],
                "requestBody": _body("Parameters", _PATCHES),
                "responses": written,
            },
            "delete": {"operationId": f"delete-{name}", "parameters": [_ID, match], "responses": gone},
        },
        f"/{name}/{{id}}/_history": {"get": _history(f"history-{name}", [_ID])},
        f"/{name}/{{id}}/_history/{{vid}}": {
            "get": {
                "operationId": f"vread-{name}",
                "parameters": [_ID, _VERSION],
                "responses": _responses(s200=stored),
            }
        },
    }
    if name in compartments():
        place = {"name": "type", "in": "path", "required": True, "schema": _TEXT}
        search = {"operationId": f"search-compartment-{name}", "parameters": [_ID, place], "responses": _found()}
        paths[f"/{name}/{{id}}/{{type}}"] = {"get": search}
    for definition in operations:
        if not {name, *ABSTRACT}.isdisjoint(definition.get("resource", ())):
            if definition["type"]:
                paths[f"/{name}/${definition['code']}"] = _operation(definition, name, [])
            if definition["instance"]:
                paths[f"/{name}/{{id}}/${definition['code']}"] = _operation(definition, f"{name}-instance", [_ID])
    return paths


def _operation(definition: Mapping[str, Any], where: str, place: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe an operation: POST with Parameters, and GET where all that it needs are primitives."""
    given = [p for p in definition.get("parameter", ()) if p["use"] == "in"]
    primitive = [p for p in given if p.get("type") in types() and types()[p["type"]].kind == "primitive"]
    outcome = _responses(s200=_content("the result", "Resource"), s202={"description": "accepted"})
    described = {"description": definition["description"]} if "description" in definition else {}
    name = f"{definition['code']}-{where}"
    post = {
        "operationId": name,
        **described,
        "parameters": place,
        "requestBody": _body("Parameters"),
        "responses": outcome,
    }
    if not all(p["min"] == 0 or p in primitive for p in given):
        return {"post": post}
    asked = [*place, *(_query(p["name"], p.get("documentation", "")) for p in primitive)]
    return {"post": post, "get": {"operationId": f"{name}-get", **described, "parameters": asked, "responses": outcome}}
