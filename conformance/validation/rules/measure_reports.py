"""Reports of a measure have the groups and stratifiers that the Measure has: https://hl7.org/fhir/R4/measurereport.html."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.validation.items import children
from conformance.validation.run import Item, Json, Run, Where

Names = frozenset[tuple[Any, Any]]


def check_measure_report(report: Json, where: Where, run: Run) -> None:
    """Report groups, stratifiers and their components that the Measure, where it is at hand, does not define."""
    canonical = report.get("measure")
    measure = run.plans.find("Measure", canonical) if type(canonical) is str else None
    if measure is None:
        return
    groups = children((measure, None, "Measure", (None, "Measure", None)), "group")
    found = children((report, None, "MeasureReport", where), "group")
    for group, definition in _matched(found, groups, "group", run):
        stratifiers = children(definition, "stratifier")
        for stratifier, defined in _matched(children(group, "stratifier"), stratifiers, "stratifier", run):
            known = [_names(component) for component in children(defined, "component")]
            for stratum in children(stratifier, "stratum"):
                for component in children(stratum, "component"):
                    _check_component(component, known, run)


def _matched(found: list[Item], defined: list[Item], what: str, run: Run) -> list[tuple[Item, Item]]:
    """Pair what a report has with what the Measure defines, each once; report what has no partner."""
    waiting = list(defined)
    pairs: list[tuple[Item, Item]] = []
    for item in found:
        names = _names(item)
        fitting = [one for one in waiting if names and names & _names(one)]
        if not fitting and len(found) <= len(defined) and waiting:
            # What has no code in the Measure goes by its order.
            fitting = [one for one in waiting if not _names(one)][:1]
        if not fitting and not names and len(waiting) == 1:
            fitting = waiting[:1]
        if fitting:
            waiting = [one for one in waiting if one is not fitting[0]]
            pairs.append((item, fitting[0]))
        else:
            message = f"The Measure defines no {what} that this could be the result of (measure-{what})"
            run.report("error", "business-rule", message, item[3])
    return pairs


def _check_component(component: Item, known: Iterable[Names], run: Run) -> None:
    names = _names(component)
    if names and not any(names & one for one in known):
        message = "The Measure's stratifier has no component of this code (measure-component)"
        run.report("error", "code-invalid", message, (component[3], "code", None))


def _names(item: Item) -> Names:
    """Return what the code of a group, stratifier or component says, by codings or else by text."""
    names: set[tuple[Any, Any]] = set()
    for code in children(item, "code"):
        codings = [c[0] for c in children(code, "coding") if type(c[0]) is dict]
        names |= {(c["system"], c["code"]) for c in codings if _is_text(c.get("system")) and _is_text(c.get("code"))}
        text = code[0].get("text") if type(code[0]) is dict else None
        if not codings and _is_text(text):
            names.add((None, text))
    return frozenset(names)


def _is_text(value: Any) -> bool:
    return type(value) is str
