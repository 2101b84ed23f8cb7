"""A message as a FHIR transaction, without looking at anything but the message.

The published message maps ORU_R01 and ADT_A01 (https://build.fhir.org/ig/HL7/v2-to-fhir/message_maps.html) as data:
maps/anchors.csv says which segment
feeds which resource, maps/links.csv how these refer to each other. What already exists on the server is
:mod:`mappers.hl7v2.reconcile`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from fhir_server.operations.feed import ContentError
from mappers.hl7v2 import finish
from mappers.hl7v2.conversions import rules
from mappers.hl7v2.engine import Rule, apply, sources
from mappers.hl7v2.groups import Group, group
from mappers.hl7v2.identity import (
    Identity,
    composed,
    cx_identity,
    ei_identity,
    order_number,
    patient_identifier,
    visit_identifier,
)
from mappers.hl7v2.maps import anchors, links, mapped_types
from mappers.hl7v2.run import Draft, Run
from mappers.hl7v2.tokenizer import Message, Segment
from mappers.hl7v2.validate import message_type

Json = dict[str, Any]
UTC_ZONE = "+00:00"
_STARTS = ("A01", "A04")
"""Events that begin a visit."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a message comes to: drafts of resources, and a report.

    ``report`` lists the resources, the fields that no mapping covers (``ZDS-1``: how often) and warnings by location.
    """

    drafts: tuple[Draft, ...]
    report: Json

    @property
    def bundle(self) -> Json:
        """The drafts as a transaction Bundle of conditional updates and creates."""
        return {"resourceType": "Bundle", "type": "transaction", "entry": [entry(d) for d in self.drafts]}


@cache
def _plan(message_code: str) -> Mapping[tuple[str, str], tuple[tuple[str, tuple[Rule, ...]], ...]]:
    """(scope, segment) → the resources it feeds, each with its compiled map."""
    out: dict[tuple[str, str], list[tuple[str, tuple[Rule, ...]]]] = {}
    for anchor in anchors()[message_code]:
        out.setdefault((anchor.scope, anchor.segment), []).append((anchor.resource, rules(anchor.map)))
    return {key: tuple(value) for key, value in out.items()}


_STRUCTURAL = {
    "MSH": frozenset(range(1, 26)),
    "EVN": frozenset(range(1, 8)),
    "PID": frozenset((1, 18)),
    "PV1": frozenset((1,)),
    "ORC": frozenset((1,)),
    "OBR": frozenset((1,)),
    "OBX": frozenset((1, 2, 4, 5, 6)),
    "NTE": frozenset((1, 2)),
    "SPM": frozenset((1,)),
}
"""Fields that are read other than by a map row: identity, structure, the value with its type and units."""


@cache
def _mapped_fields(message_code: str, scope: str, name: str) -> frozenset[int]:
    maps = [a.map for a in anchors()[message_code] if a.segment == name and a.scope == scope]
    if not maps and name not in ("MSH", "EVN"):
        return frozenset()
    return frozenset().union(_STRUCTURAL.get(name, ()), *(sources(m) for m in maps))


class _Converter:
    """One conversion, scope by scope from the outside in; ``present`` holds the drafts that inner scopes refer to."""

    def __init__(self, message: Message, code: str, event: str, zone: str) -> None:
        self.message = message
        self.code = code
        self.event = event
        self.run = Run(message, zone)
        self.plan = _plan(code)

    def convert(self) -> None:
        root = group(self.message, self.code)
        self._note_unmapped(root)
        for patient_group in root.inner("patient"):
            self._patient(patient_group)

    def _note_unmapped(self, within: Group) -> None:
        unmapped = self.run.unmapped
        for segment in within.segments:
            mapped = _mapped_fields(self.code, within.scope, segment.name)
            for number, raw in enumerate(segment.fields):
                if number and raw and number not in mapped:
                    key = f"{segment.name}-{number}"
                    unmapped[key] = unmapped.get(key, 0) + 1
        for inner in within.groups:
            self._note_unmapped(inner)

    def _fill(self, within: Group, drafts: Mapping[str, Draft]) -> None:
        for segment in within.segments:
            for resource_type, compiled in self.plan.get((within.scope, segment.name), ()):
                draft = drafts.get(resource_type)
                if draft is not None:
                    apply(compiled, (segment.name, segment.sequence, segment.fields), draft, self.run)

    def _patient(self, within: Group) -> None:
        identity = self._patient_identity(within)
        if identity is None:
            raise ContentError("The patient has no identifier.", f"PID^{within.segments[0].sequence}^3")
        drafts = {"Patient": self.run.draft("Patient", identity, "update")}
        visit = within.first("PV1")
        if visit is not None:
            known_by = self._visit_identity(visit, identity)
            if known_by is not None:
                drafts["Encounter"] = self.run.draft("Encounter", known_by, "update")
            else:
                self.run.where = f"PV1^{visit.sequence}^19"
                self.run.warn("the visit has no number, account or start: not mapped")
        self._fill(within, drafts)
        finish.patient(drafts["Patient"])
        if "Encounter" in drafts:
            finish.encounter(drafts["Encounter"], self.event)
            self._link(drafts, "Encounter", drafts)
        for order in within.inner("order"):
            self._order(order, drafts)

    def _patient_identity(self, within: Group) -> Identity | None:
        segment = within.first("PID")
        if segment is None or segment.sequence == 1:
            return patient_identifier(self.message)
        found = (cx_identity(raw, self.message) for raw in segment.repetitions(3))
        return next((i for i in found if i is not None), None)

    def _visit_identity(self, visit: Segment, patient: Identity) -> Identity | None:
        """PV1-19, else PID-18, else (for an admission or registration) the patient and the start of the visit."""
        known = visit_identifier(self.message)
        if known is not None:
            return known
        event = self.message.first("EVN")
        start = visit.value(44)
        if not start and event is not None and self.event in _STARTS:
            start = event.value(6) or event.value(2)
        return composed("visit", patient.system, patient.value, start) if start else None

    def _order(self, within: Group, outer: Mapping[str, Draft]) -> None:
        common, detail = within.first("ORC"), within.first("OBR")
        if detail is None:
            return
        patient = outer["Patient"]
        number = order_number(self.message, common, detail)
        service = detail.value(4, 1) or detail.value(4, 4) or detail.value(4, 2) or detail.value(4, 5)
        # A report without any number is told apart by patient and time.
        key: tuple[str, ...] = number or (*patient.identity, detail.value(7))
        drafts = dict(outer)
        for resource_type in ("ServiceRequest", "DiagnosticReport"):
            kind = "order" if resource_type == "ServiceRequest" else "report"
            drafts[resource_type] = self.run.draft(resource_type, composed(kind, *key, service), "update")
        specimens = self._specimens(within, key, drafts)
        if specimens:
            drafts["Specimen"] = specimens[0]
        self._fill(within, drafts)
        for specimen in specimens:
            finish.specimen(specimen)
            self._link({**drafts, "Specimen": specimen}, "Specimen", drafts)
        observations = self._observations(within, key, drafts)
        finish.order(drafts["ServiceRequest"])
        finish.report(drafts["DiagnosticReport"], self.run)
        self._link(drafts, "ServiceRequest", drafts)
        self._link(drafts, "DiagnosticReport", drafts)
        report = drafts["DiagnosticReport"]
        for name, several in (("result", observations), ("specimen", specimens)):
            urls = dict.fromkeys(r["reference"] for r in report.resource.get(name, ()))
            urls.update(dict.fromkeys(d.full_url for d in several))
            if urls:
                report.resource[name] = [{"reference": url} for url in urls]

    def _specimens(self, within: Group, order: tuple[str, ...], drafts: Mapping[str, Draft]) -> list[Draft]:
        """One specimen for each SPM; without any, the one that OBR's own fields describe."""
        out: list[Draft] = []
        for sequence, inner in enumerate(within.inner("specimen"), start=1):
            segment = inner.segments[0]
            numbers = (
                segment.field(2).split(self.run.delimiters.component)
                if self.run.delimiters.component
                else [segment.field(2)]
            )
            mark = self.run.delimiters.subcomponent or "\r"
            swapped = [n.replace(mark, self.run.delimiters.component) for n in numbers]
            identity = next((i for n in reversed(swapped) if (i := ei_identity(n, self.message))), None)
            draft = self.run.draft("Specimen", identity or composed("specimen", *order, str(sequence)), "update")
            self._fill(inner, {**drafts, "Specimen": draft})
            out.append(draft)
        detail = within.first("OBR")
        if not out and detail is not None and (detail.field(15) or detail.field(14)):
            out.append(self.run.draft("Specimen", composed("specimen", *order), "update"))
        return out

    def _observations(self, within: Group, order: tuple[str, ...], drafts: Mapping[str, Draft]) -> list[Draft]:
        out: list[Draft] = []
        seen: dict[tuple[str, str], int] = {}
        for inner in within.inner("observation"):
            segment = inner.segments[0]
            key = (
                f"{segment.value(3, 1) or segment.value(3, 4) or segment.value(3, 2)}^{segment.value(3, 3)}",
                segment.value(4),
            )
            if out and key in seen and finish.continues(out[-1], segment, key, self.run):
                self._fill(Group("observation", inner.segments[1:]), {"Observation": out[-1]})
                continue
            seen[key] = count = seen.get(key, 0) + 1
            sub_id = key[1] if count == 1 else f"{key[1]}#{count}"
            draft = self.run.draft("Observation", composed("observation", *order, key[0], sub_id), "update")
            present = {**drafts, "Observation": draft}
            self._fill(inner, present)
            finish.observation(draft, segment, drafts["DiagnosticReport"], self.run)
            self._link(present, "Observation", present)
            out.append(draft)
        return out

    def _link(self, drafts: Mapping[str, Draft], resource_type: str, present: Mapping[str, Draft]) -> None:
        resource = drafts[resource_type].resource
        for link in links():
            other = present.get(link.to)
            if (
                link.resource != resource_type
                or other is None
                or (link.to in ("Observation", "Specimen") and "[]" in link.target)
            ):
                continue
            reference = {"reference": other.full_url}
            if link.target.endswith("[]"):
                references = resource.setdefault(link.target[:-2], [])
                if reference not in references:
                    references.append(reference)
            else:
                resource.setdefault(link.target, reference)


def conditional_url(draft: Draft) -> str:
    """Return the search that finds a draft's resource, ``Patient?identifier=system|value``."""
    return f"{draft.resource['resourceType']}?{condition(draft.identity)}"


def condition(identity: Identity) -> str:
    """Return ``identifier=system|value``, encoded for a URL."""
    return "identifier=" + quote(f"{token(identity.system)}|{token(identity.value)}", safe=":/")


def token(text: str) -> str:
    """Escape what separates parts of a search value, https://hl7.org/fhir/R4/search.html#escaping."""
    for character in "\\,$|":
        text = text.replace(character, "\\" + character)
    return text


def entry(draft: Draft) -> Json:
    """Return the transaction entry of a draft."""
    if draft.mode == "create":
        request = {"method": "POST", "url": draft.resource["resourceType"], "ifNoneExist": condition(draft.identity)}
    else:
        request = {"method": "PUT", "url": conditional_url(draft)}
    return {"fullUrl": draft.full_url, "resource": draft.resource, "request": request}


def convert(message: Message, zone: str = UTC_ZONE) -> Conversion:
    """Convert a message; ``zone`` (``+01:00``) serves times that carry none when MSH-7 has none either.

    Raises ContentError for a type that no mapping covers, and for content without which nothing can be identified.
    """
    code, event = message_type(message)
    if f"{code}^{event}" not in mapped_types():
        raise ContentError(f"No mapping covers {code}^{event}.", "MSH^1^9")
    converter = _Converter(message, code, event, zone)
    converter.convert()
    run = converter.run
    drafts = tuple(run.drafts.values())
    counts: dict[str, int] = {}
    for draft in drafts:
        finish.identify(draft)
        kind = draft.resource["resourceType"]
        counts[kind] = counts.get(kind, 0) + 1
    report: Json = {
        "resources": counts,
        "notMapped": run.unmapped,
        "warnings": run.warnings,
        "characterSet": message.codec,
    }
    return Conversion(drafts, report)
