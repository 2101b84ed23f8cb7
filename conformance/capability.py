"""The CapabilityStatement, https://hl7.org/fhir/R4/capabilitystatement.html, from what the server says it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.definitions import FHIR_VERSION, SearchParameter, compartments, resource_types
from conformance.patch import MEDIA_TYPES as PATCH_TYPES

INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)


COMPARTMENTS = "http://hl7.org/fhir/CompartmentDefinition/"
# An operation on one of these is an operation on every type that it stands for.
ABSTRACT = frozenset(("Resource", "DomainResource"))


def compartment_urls() -> list[str]:
    """Return the canonical URLs of the compartments that can be searched."""
    return [f"{COMPARTMENTS}{name[0].lower()}{name[1:]}" for name in sorted(compartments())]


def _operation(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": definition["code"], "definition": definition["url"]}


def _parameter(parameter: SearchParameter) -> dict[str, Any]:
    documentation = parameter.description or parameter.code
    return {
        "name": parameter.code,
        "definition": parameter.url,
        "type": parameter.type,
        "documentation": documentation,
    }


def _shared(search_parameters: Mapping[str, Sequence[SearchParameter]]) -> list[SearchParameter]:
    """Return the parameters that every type has, by which all can be searched at once."""
    first, *others = (search_parameters.get(name, ()) for name in resource_types())
    urls = {p.url for p in first}.intersection(*({p.url for p in parameters} for parameters in others))
    return [p for p in first if p.url in urls]


def _resource(
    name: str,
    parameters: Sequence[SearchParameter],
    reverse: Sequence[str],
    operations: Sequence[Mapping[str, Any]],
    profiles: Sequence[str],
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "type": name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{name}",
        "supportedProfile": list(profiles),
        "interaction": [{"code": code} for code in INTERACTIONS],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "multiple",
        "referencePolicy": ["literal", "logical", "local"],
        "searchInclude": ["*", *(f"{name}:{p.code}" for p in parameters if p.type == "reference")],
        "searchRevInclude": ["*", *reverse],
        "searchParam": [_parameter(p) for p in parameters],
    }
    places = {name, *ABSTRACT}
    own = [
        _operation(o)
        for o in operations
        if (o["type"] or o["instance"]) and not places.isdisjoint(o.get("resource", ()))
    ]
    if own:
        out["operation"] = own
    return {key: value for key, value in out.items() if value != []}


def capability_statement(
    *,
    software_version: str,
    search_parameters: Mapping[str, Sequence[SearchParameter]],
    operations: Sequence[Mapping[str, Any]],
    auth: bool,
    date: str,
    implementation_guides: Sequence[str] = (),
    profiles: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return the CapabilityStatement resource.

    ``search_parameters`` maps each resource type to the ones that work on it; ``operations`` are OperationDefinitions,
    each with its ``url``. ``profiles`` are (resource type, canonical URL). What is left to add is ``implementation.url``.
    """
    supported: dict[str, list[str]] = {}
    for name, url in profiles:
        supported.setdefault(name, []).append(url)
    reverse: dict[str, list[str]] = {name: [] for name in resource_types()}
    for source, parameters in search_parameters.items():
        for parameter in parameters:
            if parameter.type == "reference":
                for target in parameter.target:
                    if target in reverse:
                        reverse[target].append(f"{source}:{parameter.code}")
    rest: dict[str, Any] = {
        "mode": "server",
        "security": {
            "cors": False,
            "description": (
                "Bearer tokens (RFC 6750)." if auth else "Authentication is off: loopback only, for trying out."
            ),
        },
        "resource": [
            _resource(name, search_parameters.get(name, ()), sorted(reverse[name]), operations, supported.get(name, ()))
            for name in resource_types()
        ],
        "interaction": [
            {"code": "transaction"},
            {"code": "batch"},
            {"code": "history-system"},
            {"code": "search-system"},
        ],
        "searchParam": [_parameter(p) for p in _shared(search_parameters)],
        "compartment": compartment_urls(),
    }
    system = [_operation(o) for o in operations if o["system"]]
    if system:
        rest["operation"] = system
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "Praxis", "version": software_version},
        "implementation": {"description": "Praxis FHIR server"},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json", "application/fhir+xml", "xml", "application/fhir+ndjson", "ndjson"],
        "patchFormat": list(PATCH_TYPES),
        **({"implementationGuide": list(implementation_guides)} if implementation_guides else {}),
        "rest": [rest],
    }
