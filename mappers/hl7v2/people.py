"""Who is named in a message: practitioners, organizations and their telecommunication.

Practitioners and organizations are known by an identifier, never by a name; one that has none is only named in the
reference.
HL7 v2.9 chapter 2A.3.85 (XCN), 2A.3.86 (XON), 2A.3.88 (XTN), https://www.hl7.eu/HL7v2x/v29/std29/ch02a.html.
"""

from __future__ import annotations

from typing import Any

from mappers.hl7v2.concepts import lookup, split
from mappers.hl7v2.identity import Identity, authority_uri
from mappers.hl7v2.primitives import code_text, text
from mappers.hl7v2.run import Run

Json = dict[str, Any]
_NPI = "http://hl7.org/fhir/sid/us-npi"
_XTN_PARTS = 12


def authority(piece: str, run: Run, depth: int) -> str | None:
    """HD: the URI of an assigning authority."""
    parts = [*split(piece, run, depth), "", "", ""]
    return authority_uri(*(text(p, run) or "" for p in parts[:3]))


def _identify(resource: Json, run: Run) -> Identity | None:
    """Complete a resource's identifier and return it, or None when it has no value."""
    identifier = resource.get("identifier", [{}])[0]
    if "value" not in identifier:
        resource.pop("identifier", None)
        return None
    kinds = {c["code"] for c in identifier.get("type", {}).get("coding", ())}
    if "NPI" in kinds:
        identifier["system"] = _NPI
    identifier.setdefault("system", f"urn:x-hl7v2:sender:{run.sender}")
    return Identity(identifier["system"], identifier["value"])


def _refer(resource_type: str, resource: Json, display: str | None, run: Run) -> Json | None:
    identity = _identify(resource, run)
    reference: Json = {}
    if identity is not None:
        draft = run.draft(resource_type, identity, "create")
        for name, value in resource.items():
            draft.resource.setdefault(name, value)
        reference["reference"] = draft.full_url
    if display:
        reference["display"] = display
    return reference or None


def practitioner(resource: Json, run: Run) -> Json | None:
    """Return a reference to a Practitioner made from an XCN."""
    name = resource.get("name", [{}])[0]
    shown = " ".join([*name.get("prefix", ()), *name.get("given", ()), name.get("family", ""), *name.get("suffix", ())])
    return _refer("Practitioner", resource, shown.strip(), run)


def organization(resource: Json, run: Run) -> Json | None:
    """Return a reference to an Organization made from an XON, HD or CWE."""
    if "name" not in resource and "value" in resource.get("identifier", [{}])[0]:
        resource["name"] = resource["identifier"][0]["value"]
    return _refer("Organization", resource, resource.get("name"), run)


def sending_organization(run: Run) -> Json | None:
    """Return a reference to the facility that sends the message (MSH-4), or None."""
    if run.sending_facility is None:
        run.sending_facility = _facility(run) or {}
    return dict(run.sending_facility) or None


def _facility(run: Run) -> Json | None:
    raw = run.message.header.field(4)
    if not raw.strip():
        return None
    parts = [text(p, run) or "" for p in [*split(raw, run, 1), "", ""][:3]]
    name = parts[0] or parts[1]
    if not name:
        return None
    system = authority_uri("", parts[1], parts[2]) if parts[1] else None
    identifier = (
        {"system": system, "value": parts[1]}
        if system is not None and not system.startswith("urn:oid")
        else {"system": "urn:ietf:rfc:3986", "value": system}
        if system is not None
        else {"system": "urn:x-hl7v2:facility", "value": name}
    )
    return organization({"identifier": [identifier], "name": name}, run)


def _number(parts: list[str], run: Run) -> str | None:
    """Return a telephone number from its parts: country, area, local, extension; else XTN-12 or XTN-1."""
    country, area, local, extension = (text(p, run) for p in parts[4:8])
    whole = text(parts[11], run) or text(parts[0], run)
    if not local:
        return whole
    number = " ".join(p for p in (f"+{country.lstrip('+')}" if country else None, area, local) if p)
    return f"{number} X{extension}" if extension else number


def telecom(piece: str, run: Run, depth: int) -> Json | None:
    """XTN: a ContactPoint; its system follows table 0202, its use table 0201."""
    parts = [*split(piece, run, depth), *[""] * _XTN_PARTS]
    use_code, equipment = (code_text(p, run) or "" for p in parts[1:3])
    kind = lookup("TelecommunicationEquipmentType", equipment)
    address = text(parts[3], run)
    out: Json = {}
    if (
        use_code.upper() == "NET"
        or (kind is not None and kind.code == "email")
        or (address and not _number(parts, run))
    ):
        out["system"] = "email"
        out["value"] = address or text(parts[0], run)
    else:
        out["system"] = kind.code if kind is not None and kind.system.endswith("contact-point-system") else "phone"
        out["value"] = _number(parts, run)
    if not out["value"]:
        return None
    use = lookup("TelecommunicationUseCode", use_code)
    if kind is not None and kind.code == "mobile":
        out["use"] = "mobile"
    elif use is not None:
        out["use"] = use.code
    return out
