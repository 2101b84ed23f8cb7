"""TerminologyCapabilities, https://hl7.org/fhir/R4/terminologycapabilities.html, from what the server says it has.

Code systems that a tenant has stored as resources are found by a search; listed are those shipped and those imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from conformance.decode import encode
from conformance.terminology import shipped
from conformance.terminology.currencies import URL as CURRENCIES
from conformance.terminology.grammars import GRAMMARS
from fhir_server.interactions.context import Context, Server, format_instant
from fhir_server.interactions.request import Answer
from fhir_server.operations.registry import find

Json = dict[str, Any]
Versions = tuple[tuple[str, str], ...]
"""Code systems with their versions, that which counts by itself first; the version may be empty."""
# It asks for what was current at another time, which is refused.
_REFUSED = frozenset(("date",))


def _code_systems(imported: Versions) -> list[Json]:
    """Return ``codeSystem`` elements by URL."""
    known: dict[str, dict[str, None]] = {}
    listed: Iterable[tuple[str, str]] = ((system.url, system.version) for system in shipped.code_systems())
    # Of several shipped versions the one that the URL alone means goes first.
    everything = [*imported, *((url, v) for url, _ in listed for v in shipped.versions(url))]
    for url, name in everything:
        known.setdefault(url, {})[name] = None
    for url in (*GRAMMARS, CURRENCIES):
        known.setdefault(url, {"": None})
    return [_code_system(url, list(known[url])) for url in sorted(known)]


def _code_system(url: str, versions: list[str]) -> Json:
    made: Json = {"uri": url}
    named = [{"code": name, "isDefault": name == versions[0]} for name in versions if name]
    if named:
        made["version"] = named
    return made


@lru_cache(maxsize=4)
def _statement(server: Server, imported: Versions) -> Json:
    expand = find(server.operations, "expand", "ValueSet", None)
    parameters = expand.definition["parameter"] if expand is not None else ()
    taken = [p for p in parameters if p["use"] == "in" and p["name"] not in _REFUSED]
    return {
        "resourceType": "TerminologyCapabilities",
        "name": "Praxis",
        "status": "active",
        "date": format_instant(server.started),
        "kind": "instance",
        "software": {"name": "Praxis", "version": version("praxis-fhir")},
        "implementation": {"description": "Praxis FHIR server"},
        "codeSystem": _code_systems(imported),
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": p["name"]} for p in taken],
            "textFilter": "Each word of the text begins a word of the code, the display or a designation.",
        },
        "codeSearch": "all",
        "validateCode": {"translations": True},
        "translation": {"needsMap": True},
        "closure": {"translation": False},
    }


@lru_cache(maxsize=8)
def _at(server: Server, imported: Versions, base_url: str) -> bytes:
    statement = _statement(server, imported)
    return encode({**statement, "implementation": {**statement["implementation"], "url": base_url}})


async def run(context: Context) -> Answer:
    """Return the TerminologyCapabilities of the tenant that the caller belongs to."""
    systems = context.server.code_systems
    files = [] if systems is None else (await systems.of(context.caller.tenant)).files()
    imported = tuple((file.url, file.version) for file in files)
    return Answer(200, _at(context.server, imported, context.base_url))
