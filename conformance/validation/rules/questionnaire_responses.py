"""Answers and the questions they are to: https://hl7.org/fhir/R4/questionnaireresponse.html.

Checked where the Questionnaire is at hand: link ids, types, options, how many answers, and which questions are enabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

from conformance.primitives import describe
from conformance.validation.items import children
from conformance.validation.references import resolve
from conformance.validation.run import Item, Json, Run, Where
from conformance.validation.values import compare, fits, is_same

_ANSWERS = MappingProxyType(
    {
        "boolean": {"boolean"},
        "decimal": {"decimal"},
        "integer": {"integer"},
        "date": {"date"},
        "dateTime": {"dateTime"},
        "time": {"time"},
        "string": {"string"},
        "text": {"string"},
        "url": {"uri"},
        "choice": {"Coding", "string", "integer", "date", "time", "Reference"},
        "open-choice": {"Coding", "string", "integer", "date", "time", "Reference"},
        "attachment": {"Attachment"},
        "reference": {"Reference"},
        "quantity": {"Quantity"},
    }
)
_FINISHED = frozenset({"completed", "amended"})
_MOST_DEPTH = 32


def check_questionnaire_response(response: Json, where: Where, run: Run) -> None:
    """Report answers that the Questionnaire does not ask for, or not so, and required ones that are missing."""
    canonical = response.get("questionnaire")
    if type(canonical) is not str:
        return
    found = resolve(canonical, run) if canonical.startswith("#") else run.plans.find("Questionnaire", canonical)
    if found is not None and found.get("resourceType") == "Questionnaire":
        _Questioning(response, found, run).check((response, None, "QuestionnaireResponse", where), found, 0)


class _Questioning:
    """One response held against one Questionnaire."""

    def __init__(self, response: Json, questionnaire: Json, run: Run) -> None:
        self._run = run
        self._questionnaire = questionnaire
        self._response = response
        self._finished = response.get("status") in _FINISHED

    def check(self, owner: Item, asking: Json, depth: int) -> None:
        """Check the items inside a response, an item or an answer against those of ``asking``."""
        if depth > _MOST_DEPTH:
            return
        questions = {q["linkId"]: q for q in _objects(asking.get("item")) if type(q.get("linkId")) is str}
        given: dict[str, list[Item]] = {}
        for item in children(owner, "item"):
            link = item[0].get("linkId") if type(item[0]) is dict else None
            if type(link) is not str:
                continue
            given.setdefault(link, []).append(item)
            if link not in questions:
                message = f"The Questionnaire has no item {describe(link)} here (questionnaire-linkid)"
                self._run.report("error", "not-found", message, (item[3], "linkId", None))
        for link, question in questions.items():
            self._check_question(question, link, given.get(link, []), owner[3], depth)

    def _check_question(self, question: Json, link: str, items: list[Item], where: Where, depth: int) -> None:
        enabled = self._is_enabled(question)
        answers = [answer for item in items for answer in children(item, "answer")]
        is_group = question.get("type") in ("group", "display")
        if self._finished and not enabled and (answers or (items and is_group)):
            message = f"The item {describe(link)} is not enabled, so it takes no answer (questionnaire-enabled)"
            self._run.report("error", "business-rule", message, items[0][3])
        if self._finished and enabled and question.get("required") is True and not (items if is_group else answers):
            message = f"The item {describe(link)} is required (questionnaire-required)"
            self._run.report("error", "required", message, items[0][3] if items else where)
        count = len(items) if is_group else max(len(items), len(answers))
        if count > 1 and question.get("repeats") is not True:
            message = f"The item {describe(link)} does not repeat, but is here {count} times (questionnaire-repeats)"
            self._run.report("error", "structure", message, items[-1][3])
        for answer in answers:
            self._check_answer(question, answer)
            self.check(answer, question, depth + 1)
        for item in items:
            if is_group:
                self.check(item, question, depth + 1)

    def _check_answer(self, question: Json, answer: Item) -> None:
        kind = question.get("type")
        allowed = _ANSWERS.get(str(kind), set())
        for value in children(answer, "value"):
            if value[2] not in allowed:
                message = f"A question of type {kind} is not answered by a {value[2]} (questionnaire-type)"
                self._run.report("error", "structure", message, value[3])
                continue
            longest = question.get("maxLength")
            if type(longest) is int and type(value[0]) is str and len(value[0]) > longest:
                message = f"The answer has {len(value[0])} characters; {longest} are the most (questionnaire-length)"
                self._run.report("error", "too-long", message, value[3])
            if kind == "choice" or (kind == "open-choice" and value[2] != "string"):
                self._check_choice(question, value)

    def _check_choice(self, question: Json, value: Item) -> None:
        options = [
            content
            for option in _objects(question.get("answerOption"))
            for name, content in option.items()
            if name.startswith("value")
        ]
        if options:
            if not any(_is_option(value[0], option) for option in options):
                message = "The answer is none of the options that the Questionnaire gives (questionnaire-option)"
                self._run.report("error", "code-invalid", message, value[3])
            return
        value_set = question.get("answerValueSet")
        if type(value_set) is str and type(value[0]) is dict and type(value[0].get("code")) is str:
            member = self._is_member(value_set, value[0])
            if member is False:
                message = f"{describe(value[0]['code'])} is not in the value set {value_set} (questionnaire-option)"
                self._run.report("error", "code-invalid", message, value[3])

    def _is_member(self, value_set: str, coding: Json) -> bool | None:
        system, code = coding.get("system"), coding["code"]
        if not value_set.startswith("#"):
            return self._run.plans.terminology.check(value_set, str(system or ""), code).member
        around = (*_objects(self._questionnaire.get("contained")), *_objects(self._response.get("contained")))
        for one in around:
            if one.get("id") == value_set[1:] and one.get("resourceType") == "ValueSet":
                try:
                    return self._run.plans.terminology.check_in(one, str(system or ""), code).member
                except (KeyError, TypeError, AttributeError):
                    return None  # the contained value set's own faults are reported with it
        return None

    def _is_enabled(self, question: Json) -> bool:
        conditions = _objects(question.get("enableWhen"))
        if not conditions:
            return True
        met = [self._is_met(condition) for condition in conditions]
        return any(met) if question.get("enableBehavior") == "any" else all(met)

    def _is_met(self, condition: Json) -> bool:
        operator = condition.get("operator")
        answers = list(_answers_to(self._response, condition.get("question")))
        wanted = next((v for name, v in condition.items() if name.startswith("answer")), None)
        if operator == "exists":
            return bool(answers) is wanted
        if operator == "=":
            return any(_is_option(answer, wanted) for answer in answers)
        if operator == "!=":
            return any(not _is_option(answer, wanted) for answer in answers)
        sides = [compare(answer, wanted) for answer in answers]
        expected = {">": (1,), "<": (-1,), ">=": (0, 1), "<=": (0, -1)}.get(str(operator), ())
        return any(side in expected for side in sides)


def _objects(value: Any) -> list[Json]:
    return [one for one in value if type(one) is dict] if type(value) is list else []


def _is_option(value: Any, option: Any) -> bool:
    if type(value) is dict and type(option) is dict and "code" in option:
        return fits(value, {name: option[name] for name in ("system", "code") if name in option})
    return is_same(value, option)


def _answers_to(value: Json, link: Any) -> Iterator[Any]:
    """Yield the values of all answers to a question, wherever in the response it is."""
    waiting = [value]
    while waiting:
        for item in _objects(waiting.pop().get("item")):
            answers = _objects(item.get("answer"))
            if item.get("linkId") == link:
                yield from (v for answer in answers for name, v in answer.items() if name.startswith("value"))
            waiting += [item, *answers]
