"""The value set that an element is bound to, ``context`` of https://hl7.org/fhir/R4/valueset-operation-expand.html."""

from __future__ import annotations

from conformance.structures import find_definition, type_url
from conformance.terminology.errors import TerminologyError, invalid
from conformance.terminology.source import Source


def bound_value_set(source: Source, context: str) -> str:
    """Return the canonical URL of the value set of ``profile#element`` or of a path such as ``Patient.gender``.

    An element is named by its id, its path or the name of its slice. Raises TerminologyError; what the source raises goes
    through.
    """
    url, hash_, name = context.partition("#")
    if not hash_:
        url, name = type_url(context.partition(".")[0]), context
    structure = source.find("StructureDefinition", url) or find_definition("StructureDefinition", url)
    if structure is None:
        raise TerminologyError(404, "not-found", "not-found", f"The StructureDefinition '{url}' could not be found")
    elements = (structure.get("snapshot") or structure.get("differential") or {}).get("element", ())
    named = [e for e in elements if name in (e.get("id"), e.get("path"), e.get("sliceName"))]
    if not named:
        raise TerminologyError(404, "not-found", "not-found", f"'{url}' has no element '{name}'")
    bound = next((e["binding"]["valueSet"] for e in named if e.get("binding", {}).get("valueSet")), None)
    if bound is None:
        raise invalid(f"the element '{name}' of '{url}' is bound to no value set")
    return str(bound)
