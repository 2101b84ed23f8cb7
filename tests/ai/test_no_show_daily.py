"""The daily job: what it writes for tomorrow, that it may run twice, and what it corrects."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from ai.no_show.daily import IDENTIFIER, predict_day, recalibrate, tomorrow
from ai.no_show.model import load
from conformance.decode import check
from fhir_server.operations.contract import Resource
from tests.ai.practice import NOW, MemoryContext, appointment, make_practice

PRACTICE = make_practice(patients=40, visits=400)


def ahead(identity: str, days: int = 1, status: str = "booked", **changes: Any) -> Resource:
    return {**appointment(identity, "p3", NOW + timedelta(days=days), 9, status), **changes}


class KeepingContext(MemoryContext):
    """A Context whose writes can be found again."""

    async def write(self, bundle: Resource) -> Resource:
        """Keep the resources by the ids that the answer names."""
        answer = await super().write(bundle)
        for entry, outcome in zip(bundle["entry"], answer["entry"], strict=True):
            kind, identity = outcome["response"]["location"].split("/")[:2]
            self.resources[f"{kind}/{identity}"] = {**entry["resource"], "id": identity}
        return answer

    def of(self, resource_type: str) -> list[Resource]:
        """Return what is there of a type."""
        return [r for r in self.resources.values() if r["resourceType"] == resource_type]


def test_tomorrow_gets_one_assessment_each_however_often_it_runs() -> None:
    context = KeepingContext(
        [
            *PRACTICE,
            ahead("t1"),
            ahead("t2"),
            ahead("later", 2),
            ahead("off", 1, "cancelled"),
            ahead("no", participant=[]),
        ]
    )
    day = tomorrow(context)
    report = asyncio.run(predict_day(context, day))
    assert (report.predicted, report.left_out) == (2, {"no patient": 1})
    written = context.of("RiskAssessment")
    assert {r["basis"][0]["reference"] for r in written} == {"Appointment/t1", "Appointment/t2"}
    version = load().model.version
    assert {r["identifier"][0]["value"] for r in written} == {f"t{n}.{day}.{version}" for n in (1, 2)}
    entries = context.written[0]["entry"]
    assert entries[0]["request"]["ifNoneExist"].startswith(f"identifier={IDENTIFIER}|")
    assert [len(context.of(kind)) for kind in ("Provenance", "AuditEvent")] == [1, 1]
    for resource in written:
        check(resource)
    context.resources["Appointment/t3"] = ahead("t3")
    asyncio.run(predict_day(context, day))
    assert len(context.of("RiskAssessment")) == 3
    assert len(context.of("Provenance")[1]["target"]) == 1
    asyncio.run(predict_day(context, day))
    assert len(context.written) == 2


def test_recalibration_adds_a_day_and_the_prediction_says_so(tmp_path: Path) -> None:
    missed = [
        appointment(f"m{n}", f"p{n % 40}", NOW + timedelta(hours=n % 8), 9, "noshow" if n % 2 else "fulfilled")
        for n in range(160)
    ]
    context = MemoryContext([*PRACTICE, *missed, ahead("t1")])
    context.now = NOW + timedelta(days=1)
    rolling = asyncio.run(recalibrate(context, tmp_path))
    assert rolling.corrections[-1].day == context.now.date()
    assert rolling.corrections[-1].offset > 0.3
    assert asyncio.run(recalibrate(context, tmp_path)) == rolling
    kept = KeepingContext(list(context.resources.values()))
    kept.now = context.now
    asyncio.run(predict_day(kept, context.now.date(), tmp_path))
    (assessment,) = kept.of("RiskAssessment")
    assert f"Recalibrated on {context.now.date()} by 160 later outcomes" in assessment["prediction"][0]["rationale"]


def test_without_later_outcomes_nothing_is_corrected(tmp_path: Path) -> None:
    assert asyncio.run(recalibrate(MemoryContext(PRACTICE[:41]), tmp_path)).corrections == ()
