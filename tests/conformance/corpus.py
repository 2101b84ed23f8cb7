"""The official examples and Synthea's bundles, read once from the shared archives."""

import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests.shared import shared

EXAMPLES = ("examples", "hl7.fhir.r4.examples-4.0.1-instances.tar.gz")
SYNTHEA = ("synthea", "synthea-r4-smart-sample.tar.gz")


@cache
def _read(archive: Path) -> Mapping[str, bytes]:
    with tarfile.open(archive) as files:
        content = {m.name: files.extractfile(m) for m in files if m.name.endswith(".json")}
        return {name.removesuffix(".json"): file.read() for name, file in content.items() if file is not None}


def official_examples() -> dict[str, bytes]:
    """Return the 714 official example resources by name (``Patient-example``)."""
    files = _read(shared(*EXAMPLES))
    return {name.removeprefix("examples/"): body for name, body in files.items() if name.startswith("examples/")}


def conformance_examples() -> dict[str, bytes]:
    """Return the 65 examples of conformance resources (CapabilityStatement, OperationDefinition …)."""
    files = _read(shared(*EXAMPLES))
    prefix = "examples-conformance/"
    return {name.removeprefix(prefix): body for name, body in files.items() if name.startswith(prefix)}


def synthea_bundles() -> Mapping[str, bytes]:
    """Return Synthea's 76 transaction bundles by file name."""
    return _read(shared(*SYNTHEA))
