"""How a concept looks in an expansion, https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.expansion.contains.

Properties of concepts came to expansions with R5; here they are in the extensions that stand for R5 elements in R4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.terminology.code_system import CodeSystem, Concept, Designation, Json
from conformance.terminology.languages import speaks

PROPERTY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.property"
CONTAINS_PROPERTY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property"
_STANDARD = "http://hl7.org/fhir/concept-properties#"
_OFFICIAL = "http://hl7.org/fhir/StructureDefinition/"
# Extensions of concepts that say what properties say: the property and its type.
_AS_PROPERTY = {
    "codesystem-conceptOrder": ("order", "valueDecimal"),
    "valueset-conceptOrder": ("order", "valueDecimal"),
    "codesystem-label": ("label", "valueString"),
    "valueset-label": ("label", "valueString"),
    "itemWeight": ("weight", "valueDecimal"),
    "structuredefinition-standards-status": ("status", "valueCode"),
}
_URIS = {"weight": "itemWeight"}
_DEFINITION = "definition"
Properties = dict[str, tuple[str, Any]]
"""Values by property: the name of the element that carries the value, and the value."""


def properties_of(concept: Concept, asked: Iterable[str]) -> list[tuple[str, str, Any]]:
    """Return (code, element, value) of the properties asked for, and of those that belong to every expansion."""
    wanted = frozenset(asked)
    found: list[tuple[str, str, Any]] = []
    if _DEFINITION in wanted and concept.definition is not None:
        found.append((_DEFINITION, "valueString", concept.definition))
    # What a value set says comes last and replaces what the code system says.
    implied: Properties = {}
    for extension in concept.extension:
        known = _AS_PROPERTY.get(extension.get("url", "").removeprefix(_OFFICIAL))
        if known is not None:
            name, element = known
            value = next((value for key, value in extension.items() if key.startswith("value")), None)
            if value is not None:
                implied[name] = element, value
    found.extend(
        (p.code, element_of(p.type), p.value)
        for p in concept.properties
        if p.code in wanted or (p.code == "status" and p.value != "active" and "status" not in implied)
    )
    found.extend((name, element, value) for name, (element, value) in implied.items())
    return found


def element_of(kind: str) -> str:
    """Return the element that carries a value of a type: ``valueCode`` for ``code``."""
    return f"value{kind[0].upper()}{kind[1:]}"


def property_extension(code: str, element: str, value: Any) -> Json:
    """Return the extension that carries a property of a concept."""
    return {
        "extension": [{"url": "code", "valueCode": code}, {"url": "value", element: value}],
        "url": CONTAINS_PROPERTY,
    }


def declare_property(code: str, systems: Iterable[CodeSystem]) -> Json:
    """Return the extension that declares a property of an expansion, with its URI as far as one is known."""
    uri = next(
        (
            p["uri"]
            for system in systems
            for p in system.resource.get("property", ())
            if p.get("code") == code and "uri" in p
        ),
        None,
    )
    if uri is None and (
        code in _URIS or code in (_DEFINITION, "status", "order", "label", "inactive", "notSelectable")
    ):
        uri = _STANDARD + _URIS.get(code, code)
    parts = [{"url": "code", "valueCode": code}]
    if uri is not None:
        parts.insert(0, {"url": "uri", "valueUri": uri})
    return {"extension": parts, "url": PROPERTY}


def kept_extensions(extensions: Iterable[Json]) -> list[Json]:
    """Return FHIR's own extensions of a concept in an expansion, without those that are shown as properties."""
    return [e for e in extensions if _is_kept(e.get("url", ""))]


def _is_kept(url: str) -> bool:
    name = url.removeprefix(_OFFICIAL)
    # What is said about a concept of a code system stays there: an expansion isn't its definition.
    return name != url and name not in _AS_PROPERTY and not name.startswith("codesystem-")


def designations_of(concept: Concept, asked: Iterable[str]) -> list[Json]:
    """Return the designations of a concept as JSON; ``asked`` are languages and uses, none of them means all."""
    wanted = tuple(asked)
    return [
        designation_json(designation)
        for designation in concept.designations
        if not wanted or any(_serves(designation, want) for want in wanted)
    ]


def _serves(designation: Designation, want: str) -> bool:
    """Tell whether a designation is what ``system|code`` asks for: a language (urn:ietf:bcp:47) or a use; ``use|`` is any."""
    system, bar, code = want.partition("|")
    if not bar:
        system, code = "urn:ietf:bcp:47", want
    if system == "urn:ietf:bcp:47":
        return speaks(designation.language, code)
    use = designation.use or {}
    return use.get("system") == system and code in ("", use.get("code"))


def designation_json(designation: Designation) -> Json:
    """Return a designation as in ``expansion.contains``."""
    made: Json = {}
    extensions = [e for e in designation.extension if e.get("url", "").startswith(_OFFICIAL)]
    if extensions:
        made["extension"] = extensions
    if designation.language is not None:
        made["language"] = designation.language
    if designation.use is not None:
        made["use"] = designation.use
    made["value"] = designation.value
    return made
