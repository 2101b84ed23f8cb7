"""Validation of resources, https://hl7.org/fhir/R4/validation.html: all issues at once, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from conformance.issues import Issue
from conformance.validation.items import root_item
from conformance.validation.plans import Plans
from conformance.validation.policy import SPECIFICATION, Policy
from conformance.validation.positions import locate
from conformance.validation.reading import check_structure, is_xml, read
from conformance.validation.run import Resolve, Run
from conformance.validation.terminology import Find, Terminology, terminology_of


class Validator:
    """Validates resources against FHIR R4 and profiles.

    ``find(resource_type, canonical)`` gives definitions beyond those of FHIR itself. What is compiled from them is kept,
    so a validator serves one set of definitions: when the set changes, make another. Safe to share between threads
    that validate.
    """

    def __init__(self, find: Find, terminology: Terminology | None = None, *, policy: Policy = SPECIFICATION) -> None:
        self.plans = Plans(find, terminology or terminology_of(find))
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
        URLs). ``source`` is the text that the resource was read from, JSON or XML, for lines and columns. ``resolve``
        finds resources by reference beyond those that the resource contains.
        """
        if source is not None and not is_xml(source):
            found = read(source, comments=self.policy.comments).issues
        else:
            found = check_structure(resource)
        issues = [*found, *self._check_content(resource, profiles, resolve)]
        return self._finish(issues, source)

    def validate_content(
        self, resource: Any, *, profiles: Sequence[str] = (), resolve: Resolve | None = None
    ) -> list[Issue]:
        """Return what :meth:`validate` does for a resource whose structure is known to be sound."""
        return self._finish(self._check_content(resource, profiles, resolve), None)

    def validate_text(
        self, source: bytes, *, profiles: Sequence[str] = (), resolve: Resolve | None = None
    ) -> list[Issue]:
        """Return all issues of a text in JSON or XML, as :meth:`validate` does for what it says."""
        resource, found = read(source, comments=self.policy.comments)
        return self._finish([*found, *self._check_content(resource, profiles, resolve)], source)

    def _check_content(self, resource: Any, profiles: Sequence[str], resolve: Resolve | None) -> list[Issue]:
        """Return the issues that remain when structure is left aside; whatever has no sound structure is passed by."""
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            return []
        item = root_item(resource)
        run = Run(self.plans, resource, item[3], resolve, self.policy)
        try:
            self.plans.check_resource(resource, item[3], run, profiles)
        except RecursionError:
            run.report("error", "too-costly", "The resource is nested too deeply to be checked further", item[3])
        return run.issues

    def _finish(self, issues: list[Issue], source: bytes | None) -> list[Issue]:
        listed = list(dict.fromkeys(issues))
        if self.policy.overlook:
            listed = [issue for issue in listed if not self.policy.overlooks(issue)]
        return locate(listed, source) if listed and source is not None else listed


def has_errors(issues: Iterable[Issue]) -> bool:
    """Tell whether a resource with these issues is invalid."""
    return any(issue.severity in ("fatal", "error") for issue in issues)
