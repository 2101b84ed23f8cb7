"""Where references lead: contained resources, a Bundle's entries, or wherever the caller can look.

https://hl7.org/fhir/R4/references.html and https://hl7.org/fhir/R4/bundle.html#references.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from conformance.definitions import resource_types
from conformance.fhirpath.references import find_contained, referenced_type
from conformance.validation.run import Json, Run, Where

_RESTFUL = re.compile(
    r"(?P<base>.*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.\-]{1,64})(?:/_history/[A-Za-z0-9.\-]{1,64})?", re.ASCII
)
_TYPES = frozenset(resource_types())
_ANY = frozenset({"Resource", "DomainResource"})


def find_entry(reference: str, run: Run) -> list[Json]:
    """Return the resources of the Bundle around that a reference means; several where full URLs repeat."""
    text = reference.partition("|")[0]
    versionless = re.sub(r"/_history/[^/]*\Z", "", text)
    for candidate in dict.fromkeys((text, versionless)):
        if candidate in run.entries:
            return run.entries[candidate]
    match = _RESTFUL.fullmatch(text)
    if match is None or match["base"] or match["type"] not in _TYPES:
        return []
    own = _RESTFUL.fullmatch(run.full_url or "")
    if own is None or not own["base"]:
        return []
    return run.entries.get(f"{own['base']}{match['type']}/{match['id']}", [])


def resolve(reference: str, run: Run) -> Json | None:
    """Return the resource that a reference means; None if it isn't at hand."""
    if reference.startswith("#"):
        found = find_contained(reference, run.root)
        return found if isinstance(found, dict) else None
    entries = find_entry(reference, run)
    if entries:
        return entries[0]
    if run.outside is None:
        return None
    if reference not in run.found:
        run.found[reference] = run.outside(reference)
    return run.found[reference]


def target_of(reference: Any, run: Run) -> Json | None:
    """Return the resource that a Reference as JSON means; None if it isn't at hand."""
    text = reference.get("reference") if type(reference) is dict else reference
    return resolve(text, run) if type(text) is str and text else None


def type_of_target(reference: Any, run: Run) -> str | None:
    """Return the resource type that a Reference points to, by its text, its ``type`` or the resource itself."""
    if type(reference) is not dict:
        return None
    found = referenced_type(reference, run.root)
    if found is None:
        target = target_of(reference, run)
        name = target.get("resourceType") if target else None
        found = name if type(name) is str else None
    return found


def check_target_type(reference: Any, targets: Collection[str], run: Run, where: Where) -> None:
    """Report a Reference to a resource of a type that is none of ``targets``."""
    if not run.policy.reference_types:
        return
    name = type_of_target(reference, run)
    if name is not None and name in _TYPES and name not in targets and not _ANY & set(targets):
        allowed = ", ".join(sorted(targets))
        run.report("error", "value", f"A reference to {name} is not allowed here, only to {allowed} (reference)", where)
