"""Whether a display is one of a concept, https://hl7.org/fhir/R4/valueset-operation-validate-code.html (``display``)."""

from __future__ import annotations

from conformance.terminology.code_system import Concept
from conformance.terminology.errors import Severity, TerminologyIssue
from conformance.terminology.languages import speaks, words_of


def check_display(
    display: str,
    concept: Concept,
    where: str,
    system: tuple[str, str | None],
    languages: tuple[str, ...],
    *,
    lenient: bool,
) -> TerminologyIssue | None:
    """Return what is wrong with a display, None if nothing is. ``system`` is the URL and the language of the code system.

    Right is what is said in one of the ``languages``, whatever the case; without any, what is said at all.
    """
    url, own = system
    said = list(words_of(concept, own))
    fitting = [pair for pair in said if any(speaks(pair[1], want) for want in languages)] if languages else said
    if not fitting and not said:
        return None
    if _among(display, fitting):
        return None
    name, wanted = f"{url}#{concept.code}", ", ".join(languages) or "--"
    severity: Severity = "warning" if lenient else "error"
    if not fitting:
        if _among(display, [pair for pair in said if pair[1] is None or pair[1] == own]):
            text = (
                f"There are no valid display names found for the code {name} for language(s) '{wanted}'. "
                f"The display is '{display}' which is a valid display for the default language"
            )
            return TerminologyIssue("information", "invalid", "invalid-display", text, where)
        text = (
            f"Wrong Display Name '{display}' for {name}. There are no valid display names found for "
            f"language(s) '{wanted}'. Default display is '{concept.display or said[0][0]}'"
        )
        return TerminologyIssue(severity, "invalid", "invalid-display", text, where)
    spaced = " ".join(display.split())
    problem = "Wrong whitespace in Display Name" if _among(spaced, fitting) else "Wrong Display Name"
    choices = " or ".join(f"'{words}'" + (f" ({language})" if language else "") for words, language in fitting)
    offer = f"one of {len(fitting)} choices: {choices}" if len(fitting) > 1 else choices
    text = f"{problem} '{display}' for {name}. Valid display is {offer} (for the language(s) '{wanted}')"
    return TerminologyIssue(severity, "invalid", "invalid-display", text, where)


def _among(display: str, said: list[tuple[str, str | None]]) -> bool:
    folded = display.casefold()
    return any(words.casefold() == folded for words, _ in said)
