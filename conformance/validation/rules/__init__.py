"""The rules that the specification states in prose only, by the type they are about.

Each rule is a function of the type's JSON, its place and the run; each message ends with a key in parentheses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from conformance.validation.rules.attachments import check_attachment
from conformance.validation.rules.bundles import check_bundle, check_entry
from conformance.validation.rules.codings import check_coding, check_quantity
from conformance.validation.rules.contained import check_contained
from conformance.validation.rules.definitions import (
    check_derived_parameter,
    check_search_parameter,
    check_structure_definition,
)
from conformance.validation.rules.measure_reports import check_measure_report
from conformance.validation.rules.narratives import check_narrative
from conformance.validation.rules.questionnaire_responses import check_questionnaire_response
from conformance.validation.rules.referencing import check_reference
from conformance.validation.rules.texts import check_texts
from conformance.validation.run import Json, Run, Where

Rule = Callable[[Json, Where, Run], None]

RULES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "Attachment": (check_attachment,),
        "Bundle": (check_bundle,),
        "Bundle.entry": (check_entry,),
        "CapabilityStatement.rest.resource.searchParam": (check_search_parameter,),
        "CapabilityStatement.rest.searchParam": (check_search_parameter,),
        "Coding": (check_coding,),
        "MeasureReport": (check_measure_report,),
        **dict.fromkeys(("Age", "Count", "Distance", "Duration", "Quantity"), (check_quantity,)),
        "Narrative": (check_narrative,),
        "QuestionnaireResponse": (check_questionnaire_response,),
        "Reference": (check_reference,),
        "SearchParameter": (check_derived_parameter,),
        "StructureDefinition": (check_structure_definition,),
    }
)

RESOURCE_RULES: tuple[Rule, ...] = (check_contained, check_texts)
"""What holds for every resource."""
