"""Make a concept file from the release of a code system, https://hl7.org/fhir/R4/terminologies-systems.html.

Storing it is :func:`fhir_server.store.code_system_files.store_file`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.files.read import ConceptFile
from conformance.terminology.files.write import write_concepts
from conformance.terminology.importers.kinds import read_release
from fhir_server.errors import InvalidRequest


def build_release(
    target: Path,
    release: tuple[str, Path, str | None],
    progress: Callable[[int], None],
    *,
    url: str | None = None,
    language_refset: str | None = None,
) -> dict[str, Any]:
    """Write a concept file from a release: its kind, path and perhaps version; return its CodeSystem resource.

    ``progress`` hears the number of concepts now and then. Raises InvalidRequest that names file, line and column of what
    can't be read.
    """
    kind, path, version = release
    try:
        read_in = read_release(kind, path, version, url=url, language_refset=language_refset)
        write_concepts(target, read_in.resource, read_in.entries, progress)
    except (InvalidContent, OSError) as error:
        raise InvalidRequest(str(error), code="invalid") from error
    return ConceptFile(target).resource
