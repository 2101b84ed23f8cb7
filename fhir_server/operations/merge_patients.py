"""The two Patients of a merge, by reference or by identifiers, https://build.fhir.org/patient-operation-merge.html (draft)."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.decode import decode
from fhir_server.errors import InvalidRequest, NotFound, PreconditionFailed
from fhir_server.operations.built_in import ServerContext
from fhir_server.operations.contract import Resource
from fhir_server.operations.parameters import value, values
from fhir_server.search.execute import search
from fhir_server.search.reference import local
from fhir_server.store.database import Session
from fhir_server.store.read import Version, lock


@dataclass(frozen=True, slots=True)
class Pair:
    """Source and target as they are stored, each with its version; the rows are locked."""

    source: Resource
    target: Resource
    source_version: Version
    target_version: Version


async def find_patients(parameters: Resource, context: ServerContext, session: Session) -> Pair:
    """Return the Patients that the parameters name and lock their rows. Raises InvalidRequest, NotFound or PreconditionFailed (several)."""
    await session.plan_by_value()
    source = await _find(parameters, "source-patient", context, session)
    target = await _find(parameters, "target-patient", context, session)
    if source == target:
        raise InvalidRequest(f"Source and target are the same Patient/{source}.", code="invalid")
    return await _read_pair(context, session, source, target)


async def _find(parameters: Resource, name: str, context: ServerContext, session: Session) -> str:
    reference, identifiers = value(parameters, name), values(parameters, f"{name}-identifier")
    if reference is not None:
        address = local(str(reference.get("reference", "")).removeprefix(f"{context.base_url}/"))
        if address is None or not address.startswith("Patient/"):
            raise InvalidRequest(f"{name} must refer to a Patient of this server.", code="value")
        return address.removeprefix("Patient/")
    if not identifiers:
        raise InvalidRequest(f"$merge needs {name} or {name}-identifier.", code="required")
    criteria = [("identifier", _token(identifier, name)) for identifier in identifiers]
    page = await search(
        session,
        context.caller,
        "Patient",
        [*criteria, ("_count", "2")],
        cursor_key=context.cursor_key,
        strict=True,
        registry=context.parameters,
        base_url=context.base_url,
    )
    if not page.matches:
        raise NotFound(f"No Patient has {name}-identifier.")
    if len(page.matches) > 1:
        raise PreconditionFailed(f"Several Patients have {name}-identifier.", code="multiple-matches")
    return page.matches[0].id


def _token(identifier: Resource, name: str) -> str:
    if "value" not in identifier:
        raise InvalidRequest(f"{name}-identifier needs a value.", code="required")
    texts = [identifier[part] for part in ("system", "value") if part in identifier]
    for special in ("\\", ",", "|", "$"):
        texts = [text.replace(special, f"\\{special}") for text in texts]
    return "|".join(texts)


async def _read_pair(context: ServerContext, session: Session, source: str, target: str) -> Pair:
    versions = await lock(session, context.caller.tenant, "Patient", [source, target])
    patients = []
    for id_ in (source, target):
        found = versions.get(id_)
        if found is None or found.content is None or not context.may_read("Patient", found.content):
            raise NotFound(f"Patient/{id_} is not known.")
        patients.append(decode(found.content, "Patient"))
    return Pair(patients[0], patients[1], versions[source], versions[target])
