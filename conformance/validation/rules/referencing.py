"""References: to something, in a form that can be followed, https://hl7.org/fhir/R4/references.html#literal."""

from __future__ import annotations

import re

from conformance.definitions import resource_types
from conformance.primitives import describe
from conformance.validation.references import find_entry, type_of_target
from conformance.validation.run import Json, Run, Where

_RELATIVE = re.compile(
    r"(?P<type>[A-Za-z]+)(?:/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?|\?.+)(?:#.*)?", re.ASCII
)
_TYPES = frozenset(resource_types())


def check_reference(reference: Json, where: Where, run: Run) -> None:
    """Report a reference that is neither absolute, nor local, nor ``type/id``, and one that contradicts its ``type``."""
    text = reference.get("reference")
    if type(text) is not str:
        return
    place = (where, "reference", None)
    if not text.startswith("#") and ":" not in text.partition("?")[0] and not find_entry(text, run):
        match = _RELATIVE.fullmatch(text)
        if match is None or match["type"] not in _TYPES:
            message = f"{describe(text)} is neither an absolute URL nor of the form [type]/[id] nor #[id]"
            run.report("error", "value", f"{message} (reference-form)", place)
            return
    declared = reference.get("type")
    if type(declared) is str and declared in _TYPES:
        found = type_of_target({"reference": text}, run)
        if found is not None and found in _TYPES and found != declared:
            message = f"The type says {declared}, but the reference is to a {found} (reference-type)"
            run.report("error", "value", message, (where, "type", None))
