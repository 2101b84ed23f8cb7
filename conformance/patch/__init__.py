"""Changing a resource by a patch, https://hl7.org/fhir/R4/http.html#patch.

JSON Patch (RFC 6902), XML Patch (RFC 5261) and FHIRPath Patch (https://hl7.org/fhir/R4/fhirpatch.html).
"""

from __future__ import annotations

from conformance.patch.apply import MEDIA_TYPES, apply_patch
from conformance.patch.errors import InapplicablePatch, MalformedPatch

__all__ = ["MEDIA_TYPES", "InapplicablePatch", "MalformedPatch", "apply_patch"]
