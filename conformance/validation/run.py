"""The state of one validation: where it is, what it found, and what it may ask.

Places are linked tuples, so that a resource without issues never pays for the text of a path; they become FHIRPath
expressions (https://hl7.org/fhir/R4/operationoutcome.html, ``issue.expression``) when something is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from conformance.fhirpath.constraints import ConstraintScope
from conformance.issues import Issue, Severity
from conformance.validation.policy import Policy
from conformance.walk import step

if TYPE_CHECKING:
    from conformance.validation.plans import Plans

Json: TypeAlias = dict[str, Any]
Resolve: TypeAlias = Callable[[str], Json | None]

Where: TypeAlias = tuple[Any, str, int | None]
"""The place of the parent (None for the outermost resource), the element's name, its index in an array."""

Item: TypeAlias = tuple[Any, Any, str, Where]
"""A value as JSON, the object beside it (a primitive's id and extensions), its FHIR type, and its place."""


def expression(where: Where) -> str:
    """Return the FHIRPath expression of a place."""
    parent, name, index = where
    path = name if parent is None else step(expression(parent), name)
    return path if index is None else f"{path}[{index}]"


class Run:
    """One validation of one outermost resource; ``resource`` and ``root`` are FHIRPath's %resource and %rootResource.

    ``where`` is the place of %resource. ``entries`` has the resources of the Bundle around, by their full URLs, ``full_urls`` these by the
    identity of the resource; ``full_url`` is that of the entry at hand. ``outside`` finds what lies elsewhere.
    ``seen`` holds what is being, or was, held against a profile, for profiles and references may form circles.
    """

    __slots__ = (
        "entries",
        "found",
        "full_url",
        "full_urls",
        "hooks",
        "issues",
        "outside",
        "plans",
        "policy",
        "resolve",
        "root",
        "scope",
        "seen",
        "where",
    )

    def __init__(self, plans: Plans, resource: Json, where: Where, outside: Resolve | None, policy: Policy) -> None:
        self.plans = plans
        self.policy = policy
        self.issues: list[Issue] = []
        self.outside = outside
        # Kept for the whole run: what was seen goes by identity, which only what still lives has for itself.
        self.found: dict[str, Json | None] = {}
        self.resolve: Resolve = partial(plans.resolve, run=self)
        self.hooks = plans.hooks(self)
        self.root = resource
        self.where = where
        self.scope = ConstraintScope(resource, resource, self.resolve, self.hooks)
        self.entries: dict[str, list[Json]] = {}
        self.full_urls: dict[int, str] = {}
        self.full_url: str | None = None
        self.seen: set[tuple[int, str]] = set()

    def report(self, severity: Severity, code: str, message: str, where: Where) -> None:
        """Note an issue."""
        self.issues.append(Issue(severity, code, message, expression(where)))

    @contextmanager
    def inside(self, resource: Json, where: Where, *, contained: bool) -> Iterator[None]:
        """Make ``resource`` the one that expressions are about, while what it holds is validated."""
        before = self.scope, self.root, self.where, self.full_url
        self.where = where
        self.full_url = self.full_urls.get(id(resource), self.full_url)
        if not contained:
            self.root = resource
        self.scope = ConstraintScope(resource, self.root, self.resolve, self.hooks)
        try:
            yield
        finally:
            self.scope, self.root, self.where, self.full_url = before

    def trial(self, check: Callable[[], None]) -> list[Issue]:
        """Return what ``check`` would report, without reporting it."""
        kept, self.issues = self.issues, []
        try:
            check()
            return self.issues
        finally:
            self.issues = kept
