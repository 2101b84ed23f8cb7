"""Which kind of patch a media type stands for, https://hl7.org/fhir/R4/http.html#patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from conformance.patch.errors import inapplicable, malformed
from conformance.patch.fhirpath_patch import apply_fhirpath_json, apply_fhirpath_xml
from conformance.patch.json_patch import apply_json_patch
from conformance.patch.xml_patch import apply_xml_patch

_FORMATS: Mapping[str, Callable[[dict[str, Any], bytes], Any]] = MappingProxyType(
    {
        "application/json-patch+json": apply_json_patch,
        "application/fhir+json": apply_fhirpath_json,
        "application/fhir+xml": apply_fhirpath_xml,
        "application/xml-patch+xml": apply_xml_patch,
    }
)
MEDIA_TYPES = tuple(_FORMATS)
"""The media types of patches; each may carry parameters such as a charset."""


def apply_patch(resource: dict[str, Any], body: bytes, media_type: str) -> dict[str, Any]:
    """Return the patched resource, not yet checked (see conformance.decode.check); ``resource`` stays as it is.

    ``body`` is the patch as sent, of ``media_type``. Raises MalformedPatch (400) for what is no patch and
    InapplicablePatch (422) for one that doesn't fit the resource; both are InvalidResource and list their issues.
    """
    apply = _FORMATS.get(media_type.partition(";")[0].strip().lower())
    if apply is None:
        raise malformed(
            f"'{media_type[:80]}' is no format of patches; send {', '.join(MEDIA_TYPES)}.", code="not-supported"
        )
    try:
        patched = apply(resource, body)
    except RecursionError as error:
        raise malformed("The patch nests its values too deeply.") from error
    if not isinstance(patched, dict):
        raise inapplicable("The patch leaves no resource.")
    return patched
