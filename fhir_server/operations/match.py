"""Patient/$match: who a described person may be, https://hl7.org/fhir/R4/patient-operation-match.html.

Candidates come from ordinary searches (blocks, see match-weights.json), so grants hold and indexes are used; linkage tells
how probable each is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conformance.decode import decode
from conformance.issues import Issue, operation_outcome
from fhir_server.errors import InvalidRequest
from fhir_server.operations.built_in import BuiltIn, ServerContext
from fhir_server.operations.contract import Invocation, Resource
from fhir_server.operations.definitions import load, official
from fhir_server.operations.linkage import families, givens, grade, probability
from fhir_server.operations.links import entry, url_of
from fhir_server.operations.parameters import value
from fhir_server.operations.similarity import transposed
from fhir_server.search.execute import search
from fhir_server.search.searchset import Match

CODE = "match"
GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
DEFAULT_COUNT = 50
_BIRTH_YEAR = 4
_FAMILY_START = 3


def _escape(text: str) -> str:
    for special in ("\\", ",", "|", "$"):
        text = text.replace(special, f"\\{special}")
    return text


def _tokens(elements: Sequence[Resource]) -> str:
    """Return identifiers or contact points as alternatives of a token search."""
    return ",".join(
        f"{_escape(e['system'])}|{_escape(e['value'])}" if "system" in e else _escape(e["value"])
        for e in elements
        if "value" in e
    )


def _criteria(patient: Resource) -> dict[str, tuple[str, str]]:
    """Return, by the names that blocks use, the search parameters that can be made of a Patient."""
    date, names = patient.get("birthDate", ""), families(patient)
    contacts = ",".join(_escape(c["value"]) for c in patient.get("telecom", ()) if "value" in c)
    codes = ",".join(_escape(a["postalCode"]) for a in patient.get("address", ()) if "postalCode" in a)
    found = {
        "identifier": ("identifier", _tokens(patient.get("identifier", ()))),
        "telecom": ("telecom", contacts),
        "birthdate": ("birthdate", date),
        "birthyear": ("birthdate", date[:_BIRTH_YEAR]),
        "transposed": ("birthdate", transposed(date) or ""),
        "family": ("family", ",".join(_escape(name[:_FAMILY_START]) for name in names)),
        "given": ("given", ",".join(_escape(name) for name in givens(patient))),
        "gender": ("gender", patient.get("gender", "")),
        "postalcode": ("address-postalcode", codes),
    }
    return {name: pair for name, pair in found.items() if pair[1]}


def _blocks(patient: Resource) -> Iterator[list[tuple[str, str]]]:
    """Yield the searches for which the Patient has all that they need."""
    criteria = _criteria(patient)
    for block in load("match-weights")["blocks"]:
        if all(name in criteria for name in block):
            yield [criteria[name] for name in block]


async def _candidates(patient: Resource, context: ServerContext) -> dict[str, Match]:
    """Return by id whoever a block finds. Raises InvalidRequest when the Patient has too little for any."""
    blocks = list(_blocks(patient))
    if not blocks:
        raise InvalidRequest(
            "The Patient has too little to look for: an identifier, a contact, a birth date with gender or family name, or "
            "a family and given name.",
            code="required",
            expression="Patient",
        )
    most = str(load("match-weights")["most-a-block"])
    found: dict[str, Match] = {}
    async with context.searching() as session:
        for block in blocks:
            page = await search(
                session,
                context.caller,
                "Patient",
                [*block, ("_count", most)],
                cursor_key=context.cursor_key,
                strict=True,
                registry=context.parameters,
                base_url=context.base_url,
            )
            found |= {match.id: match for match in page.matches}
    return found


def _is_replaced(patient: Resource) -> bool:
    return any(link.get("type") == "replaced-by" for link in patient.get("link", ()))


def _rank(patient: Resource, candidates: Sequence[Match]) -> list[tuple[float, Match]]:
    """Return the candidates that are a possible match at least, most probable first; none that was merged into another."""
    ranked = []
    for match in candidates:
        other = decode(match.content, "Patient")
        if _is_replaced(other):
            continue
        chance = probability(patient, other)
        if grade(chance) != "certainly-not":
            ranked.append((chance, match))
    return sorted(ranked, key=lambda pair: (-pair[0], pair[1].key))


def _entry(context: ServerContext, chance: float, match: Match) -> Resource:
    return entry(
        context.base_url,
        match,
        "match",
        extension=[{"url": GRADE, "valueCode": grade(chance)}],
        score=round(chance, 6),
    )


def _read_patient(invocation: Invocation) -> Resource:
    patient: Resource = value(invocation.parameters, "resource")
    if patient["resourceType"] != "Patient":
        raise InvalidRequest(
            f"$match compares Patients, not a {patient['resourceType']}.",
            code="value",
            expression="Parameters.parameter",
        )
    return patient


async def match(invocation: Invocation, context: ServerContext) -> bytes:
    """Return possible matches, most probable first, with their probability as score and a match-grade.

    With ``onlyCertainMatches`` the one certain match, or none where several people would be.
    """
    patient = _read_patient(invocation)
    count = value(invocation.parameters, "count")
    if count is not None and count < 1:
        raise InvalidRequest(f"count must be 1 or more, not {count}.", code="value")
    context.require("search", "Patient")
    found = await _candidates(patient, context)
    ranked = _rank(patient, [m for m in found.values() if context.may_read("Patient", m.content)])
    issues: list[Issue] = []
    if value(invocation.parameters, "onlyCertainMatches"):
        certain = [pair for pair in ranked if grade(pair[0]) == "certain"]
        ranked = certain if len(certain) == 1 else []
        if len(certain) > 1:
            text = f"{len(certain)} Patients match with certainty, so none of them is returned."
            issues.append(Issue("warning", "multiple-matches", text))
    shown = ranked[: min(count or DEFAULT_COUNT, DEFAULT_COUNT)]
    if len(shown) < len(ranked):
        text = f"Of {len(ranked)} possible matches the {len(shown)} most probable are returned."
        issues.append(Issue("information", "informational", text))
    entries: list[dict[str, Any]] = [_entry(context, *pair) for pair in shown]
    if issues:
        entries.append({"resource": operation_outcome(issues), "search": {"mode": "outcome"}})
    links = [("self", url_of(context.base_url, invocation, CODE, []))]
    return context.searchset(links, entries, len(shown))


MATCH = BuiltIn(official("Patient-match"), match)
