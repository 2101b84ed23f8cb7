"""A prediction as a RiskAssessment, https://hl7.org/fhir/R4/riskassessment.html.

The contributing factors are a contained Observation that the assessment's basis refers to: a component per factor with
its share of the log-odds against the average booking, and the base rate as the Observation's value.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from ai.authorship import CANONICAL, DEVICE_ID, FACTOR_SYSTEM, TAG, instant
from ai.no_show.bookings import Booking
from ai.no_show.features import Value
from ai.no_show.model import DISPLAYS, Model
from ai.no_show.recalibration import Correction
from fhir_server.operations.contract import Resource

_FACTORS_ID = "factors"
_NAMED = 4
_VISIBLE = 0.005
_UNITS = {
    "lead-days": "days",
    "age": "years",
    "minutes": "minutes",
    "patient-outcomes": "visits",
    "patient-ahead-outcomes": "visits",
}
# A rate of the patient's own, and how many outcomes it rests on.
_OUTCOMES = {"patient-rate": "patient-outcomes", "patient-ahead-rate": "patient-ahead-outcomes"}
_SHOWN = 0.00005
"""Log-odds that are 0.0001 when rounded; a feature with less, such as one that is unknown for everybody, isn't listed."""
NO_SHOW = {"coding": [{"system": "http://hl7.org/fhir/appointmentstatus", "code": "noshow"}], "text": "No-show"}
METHOD = {
    "coding": [{"system": f"{CANONICAL}/CodeSystem/ai-method", "code": "no-show-additive-boosted"}],
    "text": "Calibrated additive logistic model with boosted trees",
}


def risk_assessment(
    booking: Booking,
    row: dict[str, Value],
    probability: float,
    contributions: list[float],
    *,
    model: Model,
    correction: Correction | None,
    device: Resource,
    now: datetime,
) -> Resource:
    """Return the RiskAssessment of one scored booking; contributions are in the order of the model's effects."""
    factors = sorted(
        zip((effect.code for effect in model.effects), contributions, strict=True), key=lambda factor: -abs(factor[1])
    )
    # The model takes the age with its fraction; people say completed years.
    said = {**row, "age": None if booking.years is None else float(booking.years)}
    basis = [{"reference": f"#{_FACTORS_ID}"}]
    if booking.reference != "Appointment/":
        basis.insert(0, {"reference": booking.reference})
    return {
        "resourceType": "RiskAssessment",
        "meta": {"tag": [TAG]},
        "contained": [device, _factors(factors, said, model)],
        "status": "final",
        "method": METHOD,
        "subject": {"reference": booking.patient},
        "occurrenceDateTime": instant(now),
        "performer": {"reference": f"#{DEVICE_ID}"},
        "basis": basis,
        "prediction": [
            {
                "outcome": NO_SHOW,
                "probabilityDecimal": _decimal(probability),
                "relativeRisk": _decimal(probability / model.base_rate),
                "rationale": _rationale(booking, factors, said, model, correction),
            }
        ],
    }


def _factors(factors: list[tuple[str, float]], row: dict[str, Value], model: Model) -> Resource:
    return {
        "resourceType": "Observation",
        "id": _FACTORS_ID,
        "status": "final",
        "code": {
            "coding": [{"system": FACTOR_SYSTEM, "code": "base-rate"}],
            "text": "Base rate of no-shows, and factors",
        },
        "valueQuantity": {"value": _decimal(model.base_rate), "system": "http://unitsofmeasure.org", "code": "1"},
        "component": [_component(code, share, row) for code, share in factors if abs(share) >= _SHOWN],
    }


def _component(code: str, share: float, row: dict[str, Value]) -> Resource:
    coding = {"system": FACTOR_SYSTEM, "code": code, "display": DISPLAYS[code]}
    return {
        "code": {"coding": [coding], "text": _say(code, row)},
        "valueQuantity": {"value": _decimal(share), "unit": "log-odds against the average booking"},
    }


def _rationale(
    booking: Booking,
    factors: list[tuple[str, float]],
    row: dict[str, Value],
    model: Model,
    correction: Correction | None,
) -> str:
    named = [(code, share) for code, share in factors if abs(share) >= _VISIBLE][:_NAMED]
    raising = ", ".join(f"{_say(code, row)} ({share:+.2f})" for code, share in named if share > 0)
    lowering = ", ".join(f"{_say(code, row)} ({share:+.2f})" for code, share in named if share < 0)
    sentences = [f"Base rate {model.base_rate:.1%}."]
    if raising:
        sentences.append(f"Raised by {raising}.")
    if lowering:
        sentences.append(f"Lowered by {lowering}.")
    sentences += fallbacks(booking, row)
    training = model.training
    window = f"{training['outcomes']} outcomes from {training['from']} to {training['to']}"
    sentences.append(f"Model no-show {model.version}, trained on {training['source']} ({window}).")
    if correction is not None:
        sentences.append(f"Recalibrated on {correction.day} by {correction.outcomes} later outcomes.")
    return " ".join(sentences)


def fallbacks(booking: Booking, row: dict[str, Value]) -> list[str]:
    """Say what was not known and what was used in its place."""
    said = []
    if not row["patient-outcomes"]:
        said.append("No earlier outcome of this patient: the base rate stands for it.")
    if row["age"] is None:
        said.append("Age unknown.")
    if row["lead-days"] is None:
        said.append("Booking instant or start unknown: lead time not used.")
    if booking.created_day and booking.day and booking.created_day > booking.day:
        said.append("Recorded after its own day: treated as booked on the same day.")
    return said


def _say(code: str, row: dict[str, Value]) -> str:
    value = row[code]
    if code in _OUTCOMES and not row[_OUTCOMES[code]]:
        return f"{DISPLAYS[code]} (none on record, taken as the base rate)"
    if code.endswith("-rate"):
        return DISPLAYS[code]
    if value is None:
        return f"{DISPLAYS[code]} unknown"
    shown = f"{value:.0f} {_UNITS.get(code, '')}".rstrip() if isinstance(value, float) else value
    return f"{DISPLAYS[code]}: {shown}"


def _decimal(value: float) -> Decimal:
    return Decimal(f"{value:.4f}")
