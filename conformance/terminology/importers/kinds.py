"""The releases that can be imported, by the name of their kind, https://hl7.org/fhir/R4/terminologies-systems.html."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from conformance.terminology.files.errors import InvalidContent
from conformance.terminology.importers.hcpcs import read_hcpcs
from conformance.terminology.importers.loinc import read_loinc
from conformance.terminology.importers.rxnorm import read_rxnorm
from conformance.terminology.importers.snomed import US_ENGLISH, read_snomed
from conformance.terminology.importers.source import Import
from conformance.terminology.importers.tabular import read_cpt, read_csv

_PUBLISHED: Mapping[str, Callable[[Path, str | None], Import]] = {
    "cpt": read_cpt,
    "hcpcs": read_hcpcs,
    "loinc": read_loinc,
    "rxnorm": read_rxnorm,
}
KINDS = ("snomed", *_PUBLISHED, "csv")


def read_release(
    kind: str, path: Path, version: str | None = None, *, url: str | None = None, language_refset: str | None = None
) -> Import:
    """Read a release of a kind. ``url`` is for ``csv`` only, ``language_refset`` for ``snomed`` only.

    Raises InvalidContent for a kind or an option that doesn't fit, and for what the files have wrong.
    """
    if url is not None and kind != "csv":
        raise InvalidContent(f"--url is for csv only: {kind} has a URL of its own")
    if language_refset is not None and kind != "snomed":
        raise InvalidContent(f"--language-refset is for snomed only, not for {kind}")
    if kind == "snomed":
        return read_snomed(path, version, language_refset or US_ENGLISH)
    if kind == "csv":
        if url is None:
            raise InvalidContent("csv needs --url, the URL of the code system")
        return read_csv(path, url, version)
    if kind not in _PUBLISHED:
        raise InvalidContent(f"{kind!r} is none of {', '.join(KINDS)}")
    return _PUBLISHED[kind](path, version)
