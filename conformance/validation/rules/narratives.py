"""The narrative: XHTML of a limited kind, with some content, https://hl7.org/fhir/R4/narrative.html#xhtml."""

from __future__ import annotations

from conformance.fhirpath.narrative import find_narrative_fault
from conformance.validation.run import Json, Run, Where


def check_narrative(narrative: Json, where: Where, run: Run) -> None:
    """Report markup that is not allowed in a narrative, and one without content (txt-1, txt-2)."""
    text = narrative.get("div")
    if type(text) is not str:
        return
    fault = find_narrative_fault(text)
    if fault is not None:
        run.report("error", "invariant", fault, (where, "div", None))
