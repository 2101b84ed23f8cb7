"""Holding what is about to be written to the server's policy, https://hl7.org/fhir/R4/validation.html.

Structure was checked when the resource was read. What remains are invariants, bindings, types of references, and the profiles
that the resource claims. Create, update, patch and transactions come through here, and so the HL7 v2 feed; a bulk load doesn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from conformance.issues import Issue
from conformance.validation import has_errors
from fhir_server.errors import Unprocessable
from fhir_server.interactions.context import Context
from fhir_server.store.database import Session

Json = dict[str, Any]
Findings = list[list[Issue]]

# The one constraint of R4 that is marked as a best practice: nearly no client's data has narrative.
_BEST_PRACTICE = "(dom-6)"
# Code systems grow, and a sender may have a newer edition; what a required binding denies stays an error.
_UNKNOWN_CODE = "(coding-code)"


async def find_issues(context: Context, session: Session, resources: Sequence[Json], size: int) -> Findings:
    """Return the issues of each resource that is about to be stored; ``size`` is that of them all, in bytes.

    Where the policy has the type enforced, errors among them refuse the resource, see :func:`require_valid`.
    """
    policy = context.server.validation
    checked = [number for number, r in enumerate(resources) if policy.level(r["resourceType"]) != "off"]
    found: Findings = [[] for _ in resources]
    if checked:
        validator = context.server.validators.of(context.caller.tenant)
        issues = await validator.validate([resources[n] for n in checked], size, lambda: nullcontext(session))
        for number, own in zip(checked, issues, strict=True):
            found[number] = [_for_write(issue) for issue in own if not issue.diagnostics.endswith(_BEST_PRACTICE)]
    return found


def _for_write(issue: Issue) -> Issue:
    if issue.severity == "error" and issue.diagnostics.endswith(_UNKNOWN_CODE):
        return replace(issue, severity="warning")
    return issue


def require_valid(context: Context, resource: Json, issues: list[Issue]) -> list[Issue]:
    """Return what the client has to be told of a resource that is stored: what would be an error is a warning then.

    Raises Unprocessable with all issues where the policy refuses the resource for them.
    """
    if not has_errors(issues):
        return issues
    if context.server.validation.level(resource["resourceType"]) == "enforce":
        raise Unprocessable.of(issues)
    return [replace(i, severity="warning") if i.severity in ("fatal", "error") else i for i in issues]
