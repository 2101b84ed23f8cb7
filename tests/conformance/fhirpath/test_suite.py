"""The FHIRPath suite: every case passes or is listed with its reason, so a regression and a surprise both fail."""

import re

import pytest

from tests.conformance.fhirpath.suite import KNOWN_FAILURES, Case, known_failures, read_cases, run
from tests.shared import shared

yaml = pytest.importorskip("yaml", reason="the FHIRPath suite is written in YAML: install pyyaml to run it")

CASES = read_cases(shared("suites", "fhirpath"), yaml)
KNOWN = known_failures()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    outcome = run(case)
    if case.name in KNOWN:
        assert outcome is not None, f"passes now: remove it from {KNOWN_FAILURES.name}"
    else:
        assert outcome is None, f"{case.expression}: expected {'an error' if case.error else case.result}, {outcome}"


def test_the_counts_are_exact() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) == 1622
    assert len(KNOWN) == 15
    assert set(KNOWN) <= set(names)


def test_each_reason_counts_its_cases() -> None:
    for reason in set(KNOWN.values()):
        stated = re.search(r"\((\d+)\)$", reason)
        assert stated is not None, f"no count behind {reason!r}"
        assert int(stated[1]) == list(KNOWN.values()).count(reason)
