"""ICD-10-CM from the tabular list that the package simple-icd-10-cm carries, https://www.cdc.gov/nchs/icd/icd-10-cm/.

Categories, subcategories and codes with their seventh characters; chapters and blocks are no codes. Inclusion terms are
designations; ``billable`` tells the codes that a claim may have from those that group them, ``seventhCharacter`` those
whose seventh character qualifies the code above.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.terminology.code_system import Concept, Designation, Property
from conformance.terminology.files.write import Entry
from conformance.terminology.importers.source import Import, describe

URL = "http://hl7.org/fhir/sid/icd-10-cm"
_INCLUSION = {"display": "Inclusion term"}


def read_icd10cm(version: str) -> Import:
    """Read the release that is installed; it does not say which it is."""
    import simple_icd_10_cm as icd  # noqa: PLC0415 - it takes 190 MB

    properties = [
        {"code": "billable", "description": "Whether a claim may have this code", "type": "boolean"},
        {"code": "seventhCharacter", "description": "Whether it qualifies the code above", "type": "boolean"},
    ]
    resource = describe(
        URL,
        version,
        "ICD10CM",
        "International Classification of Diseases, 10th Revision, Clinical Modification (ICD-10-CM)",
        hierarchyMeaning="is-a",
        property=properties,
    )
    return Import(resource, _entries(icd))


def _entries(icd: Any) -> Iterator[Entry]:
    for code in dict.fromkeys(icd.get_all_codes()):
        if _is_group(icd, code):
            continue
        above = icd.get_parent(code)
        parents = [above] if above not in ("", code) and not _is_group(icd, above) else []
        terms = dict.fromkeys((*icd.get_inclusion_term(code), *icd.get_includes(code)))
        designations = tuple(Designation(term, "en", _INCLUSION) for term in terms)
        properties = [Property("billable", "boolean", bool(icd.is_leaf(code)))]
        if icd.is_extended_subcategory(code):
            properties.append(Property("seventhCharacter", "boolean", True))
        yield Concept(code, icd.get_description(code), None, designations, tuple(properties)), parents


def _is_group(icd: Any, code: str) -> bool:
    """Tell whether a name is a chapter's or block's and no code; a block of a single category has its name."""
    return bool(icd.is_chapter_or_block(code) and not icd.is_category(code))
