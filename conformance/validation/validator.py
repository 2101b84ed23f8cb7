"""Validation of resources, https://hl7.org/fhir/R4/validation.html: all issues at once, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from conformance.issues import Issue
from conformance.terminology.source import Find
from conformance.validation.items import root_item
from conformance.validation.plans import Plans
from conformance.validation.policy import SPECIFICATION, Policy
from conformance.validation.reading import check_structure, is_xml, read
from conformance.validation.run import Json, Resolve, Run
from conformance.validation.terminology import ListedTerminology, Terminology


class Validator:
    """Validates resources against FHIR R4 and profiles.

    ``find(resource_type, canonical)`` gives definitions beyond those of FHIR itself. What is compiled from them is kept,
    so a validator serves one set of definitions: when the set changes, make another. Safe to share between threads
    that validate.
    """

    def __init__(self, find: Find, terminology: Terminology | None = None, *, policy: Policy = SPECIFICATION) -> None:
        self.plans = Plans(find, terminology or ListedTerminology(find))
        self.policy = policy

    def validate(
        self,
        resource: Any,
        *,
        profiles: Sequence[str] = (),
        source: bytes | None = None,
        resolve: Resolve | None = None,
    ) -> list[Issue]:
        """Return all issues of a resource as JSON (fractions are Decimals); an empty list means that it is valid.

        Held against the type's definition, the profiles it claims in ``meta.profile``, and ``profiles`` (canonical
        URLs). ``source`` is the JSON text that the resource was read from, for lines and columns. ``resolve`` finds
        resources by reference beyond those that the resource contains.
        """
        from_json = source is not None and not is_xml(source)
        issues = read(source).issues if source is not None and from_json else check_structure(resource)
        if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
            item = root_item(resource)
            run = Run(self.plans, resource, item[3], resolve, self.policy)
            self.plans.check_resource(resource, item[3], run, profiles)
            issues += run.issues
        return list(dict.fromkeys(issues))


def has_errors(issues: Iterable[Issue]) -> bool:
    """Tell whether a resource with these issues is invalid."""
    return any(issue.severity in ("fatal", "error") for issue in issues)
