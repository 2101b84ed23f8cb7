"""What a resource needs besides its map rows to be valid and useful: required elements, values, performers.

R4's required elements get the code for "not known" when the message does not tell them:
https://hl7.org/fhir/R4/observation.html and the others.
"""

from __future__ import annotations

from typing import Any

from mappers.hl7v2.concepts import concept
from mappers.hl7v2.identity import composed
from mappers.hl7v2.people import sending_organization
from mappers.hl7v2.run import Draft, Run
from mappers.hl7v2.tokenizer import DELETE, Segment, part
from mappers.hl7v2.values import TEXTUAL, attachment, unit, value

Json = dict[str, Any]
_UNKNOWN_CLASS = {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK", "display": "unknown"}
_UPDATE_EVENT = "A08"
_STATUS_ONLY = "U"


def identify(draft: Draft) -> None:
    """Make sure that a resource carries the identifier it is known by."""
    identifiers = draft.resource.setdefault("identifier", [])
    system, value_ = draft.identity
    if not any(i.get("system") == system and i.get("value") == value_ for i in identifiers):
        identifiers.append({"system": system, "value": value_})


def patient(draft: Draft) -> None:
    """Keep what a message both gives and deletes (a home number, no business number)."""
    draft.deleted -= draft.resource.keys()


def encounter(draft: Draft, event: str) -> None:
    """Set status and class.

    An update (A08) does not say that a visit goes on: its status only fills a gap, unless it has ended.
    """
    resource = draft.resource
    if "status" not in resource:
        resource["status"] = "unknown"
        draft.weak.add("status")
    elif event == _UPDATE_EVENT and resource["status"] != "finished":
        draft.weak.add("status")
    if "class" not in resource:
        resource["class"] = dict(_UNKNOWN_CLASS)
        draft.weak.add("class")
    draft.deleted -= {"status", "class"}


def specimen(draft: Draft) -> None:
    """Return a moment of collection and a period exclude each other."""
    collection = draft.resource.get("collection", {})
    if "collectedPeriod" in collection:
        collection.pop("collectedDateTime", None)


def order(draft: Draft) -> None:
    """Return a request that a result answers: status unknown unless ORC tells it."""
    resource = draft.resource
    resource.setdefault("intent", "order")
    if "status" not in resource:
        resource["status"] = "unknown"
        draft.weak.add("status")


def report(draft: Draft, run: Run) -> None:
    """Status, code and, as the performer, the facility that sends the report."""
    resource = draft.resource
    resource.setdefault("status", "unknown")
    resource.setdefault("code", {"text": "unknown"})
    if "performer" not in resource and (sender := sending_organization(run)):
        resource["performer"] = [sender]
    if "effectivePeriod" in resource:
        resource.pop("effectiveDateTime", None)


def _values(segment: Segment, kind: str, run: Run) -> list[tuple[str, Any]]:
    units = unit(segment.field(6), run) if segment.field(6) else {}
    run.where = f"{segment.name}^{segment.sequence}^5"
    repetitions = [r for r in segment.repetitions(5) if r != DELETE]
    return [v for raw in repetitions if (v := value(kind, raw, units, run)) is not None]


def _kind(segment: Segment) -> str:
    return part(segment.field(2), segment.delimiters.component, 1).strip().upper()


def observation(draft: Draft, segment: Segment, report_draft: Draft, run: Run) -> None:
    """Set value, status, code and performer. HL7: without a producer (OBX-15), the sender is it."""
    resource = draft.resource
    kind = _kind(segment)
    resource.setdefault("status", "unknown")
    if segment.value(11) == _STATUS_ONLY:
        draft.weak.update(k for k in resource if k not in ("status", "resourceType"))
    resource.setdefault("code", concept(segment.field(3), run, 1) or {"text": "unknown"})
    if kind == "ED":
        run.where = f"{segment.name}^{segment.sequence}^5"
        content = attachment(segment.field(5), run)
        if content is None:
            run.warn("the encapsulated data can't be read; kept in the stored message only")
        else:
            forms = report_draft.resource.setdefault("presentedForm", [])
            if content not in forms:
                forms.append(content)
    else:
        found = _values(segment, kind, run)
        if len(found) > 1 and kind in TEXTUAL:
            found = [("valueString", "\n".join(str(v) for _, v in found))]
        if len(found) == 1:
            name, content = found[0]
            resource[name] = content
            resource.pop("dataAbsentReason", None)
        elif found:
            resource["component"] = [{"code": resource["code"], name: content} for name, content in found]
    if "performer" not in resource and (sender := sending_organization(run)):
        resource["performer"] = [sender]


def continues(draft: Draft, segment: Segment, key: tuple[str, str], run: Run) -> bool:
    """Whether an OBX goes on with the text of the one before it (same code, same sub-id); if so, its text is added."""
    if _kind(segment) not in TEXTUAL or "valueString" not in draft.resource:
        return False
    if not draft.identity.value.endswith("/" + composed("observation", *key).value):
        return False
    found = _values(segment, _kind(segment), run)
    if found:
        lines = [draft.resource["valueString"], *(str(v) for _, v in found)]
        draft.resource["valueString"] = "\n".join(lines)
    return True
