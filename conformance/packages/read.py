"""Reading a FHIR package, https://hl7.org/fhir/packages.html: ``package/package.json`` and the resources beside it.

Nothing is written to disk, so what an archive calls its files can do no harm; of other folders (examples, schemas) nothing
is kept. What is unpacked is counted as it comes, so that a small archive can't fill the memory. ``.index.json`` repeats
what the resources say, and isn't needed.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import IO, Any, cast

import msgspec

from conformance.decode import decode
from conformance.definitions import FHIR_VERSION
from conformance.issues import InvalidResource, Issue

Json = dict[str, Any]

MOST_BYTES = 400_000_000
"""What an archive may unpack to, of which the resources of a large guide are a tenth."""
MOST_FILE_BYTES = 32_000_000
MOST_RESOURCES = 20_000
LONGEST_URL = 1_000
LONGEST_VERSION = 200
_FOLDER = "package/"
_MANIFEST = "package/package.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9\-_]*(?:\.[a-z0-9\-_]+)*", re.IGNORECASE)
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+\-_]{0,63}")
_LONGEST_NAME = 200
_LONGEST_REASON = 500
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class InvalidPackage(Exception):
    """A file is no FHIR package that can be used here; ``issues`` say why."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__("; ".join(issue.diagnostics for issue in issues))
        self.issues = list(issues)


@dataclass(frozen=True, slots=True)
class Definition:
    """A resource with a canonical URL: what names it, and its JSON as it was in the package."""

    resource_type: str
    url: str
    version: str
    content: bytes
    resource: Json


@dataclass(frozen=True, slots=True)
class Package:
    """A package: its manifest and its definitions, valid resources all of them, in the order of the archive.

    ``dependencies`` are versions by package name. ``skipped`` names the files of the main folder that were left out, and why.
    """

    name: str
    version: str
    manifest: Json
    dependencies: Mapping[str, str]
    definitions: tuple[Definition, ...]
    skipped: tuple[tuple[str, str], ...]


def read_package(file: IO[bytes]) -> Package:
    """Read a ``.tgz``, front to back. Raises InvalidPackage."""
    manifest: Json | None = None
    definitions: dict[tuple[str, str, str], Definition] = {}
    skipped: list[tuple[str, str]] = []
    for name, content in _files(file):
        if name == _MANIFEST:
            manifest = _manifest(content)
            continue
        try:
            definition = _definition(content)
        except ValueError as reason:
            skipped.append((name.removeprefix(_FOLDER), str(reason)))
            continue
        definitions[definition.resource_type, definition.url, definition.version] = definition
        if len(definitions) > MOST_RESOURCES:
            raise _refused("too-long", f"The package holds more than {MOST_RESOURCES:,} definitions.")
    if manifest is None:
        raise _refused("structure", f"The archive has no {_MANIFEST}, so it is no FHIR package.")
    return Package(
        manifest["name"],
        manifest["version"],
        manifest,
        manifest.get("dependencies") or {},
        tuple(definitions.values()),
        tuple(skipped),
    )


class _Counted:
    """A stream that ends with InvalidPackage where it would give more than ``MOST_BYTES``."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MOST_BYTES

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _refused("too-long", f"The package unpacks to more than {MOST_BYTES:,} bytes.")
        return data


def _files(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the JSON files directly in the main folder."""
    try:
        with (
            gzip.GzipFile(fileobj=file) as unpacked,
            tarfile.open(fileobj=cast("IO[bytes]", _Counted(unpacked)), mode="r|") as archive,
        ):
            for member in archive:
                name = member.name.removeprefix("./")
                inner = name.removeprefix(_FOLDER)
                if not member.isfile() or inner == name or "/" in inner or not inner.endswith(".json"):
                    continue
                if inner.startswith("."):
                    continue
                if member.size > MOST_FILE_BYTES:
                    raise _refused("too-long", f"{name[:200]} is larger than {MOST_FILE_BYTES:,} bytes.")
                content = archive.extractfile(member)
                if content is not None:
                    yield name, content.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError) as error:
        raise _refused("structure", f"The file is not a gzipped tar archive: {error}") from error


def _object(content: bytes) -> Json:
    """Return a JSON object. Raises ValueError."""
    try:
        decoded = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - bad data, not a wrong call
    return decoded


def _definition(content: bytes) -> Definition:
    """Return a canonical resource. Raises ValueError for what is none, or not valid."""
    try:
        resource = decode(content)
    except InvalidResource as error:
        raise ValueError(f"it is no valid resource of FHIR R4: {error}"[:_LONGEST_REASON]) from error
    resource_type, url, version = resource["resourceType"], resource.get("url"), resource.get("version", "")
    if url is None:
        raise ValueError(f"the {resource_type} has no canonical URL")
    if len(url.encode()) > LONGEST_URL or "|" in url or "\0" in url:
        raise ValueError("its URL is none that can be looked up")
    if len(version.encode()) > LONGEST_VERSION or "\0" in version:
        raise ValueError("its version is none that can be looked up")
    return Definition(resource_type, url, version, msgspec.json.format(content, indent=-1), resource)


def _manifest(content: bytes) -> Json:
    """Return a manifest that says what it must. Raises InvalidPackage with all that is wrong."""
    try:
        manifest = _object(content)
    except ValueError as reason:
        raise _refused("structure", f"{_MANIFEST}: {reason}.") from reason
    issues = []
    name, version = manifest.get("name"), manifest.get("version")
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        issues.append(Issue("error", "value", f"{_MANIFEST}: name is not that of a package."))
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        issues.append(Issue("error", "value", f"{_MANIFEST}: version is not that of a package."))
    dependencies = manifest.get("dependencies") or {}
    if not isinstance(dependencies, dict) or not all(isinstance(v, str) for v in dependencies.values()):
        issues.append(Issue("error", "value", f"{_MANIFEST}: dependencies is not an object of names and versions."))
    fhir = manifest.get("fhirVersions", manifest.get("fhir-version-list", [FHIR_VERSION]))
    if not isinstance(fhir, list) or FHIR_VERSION not in fhir:
        text = f"The package is for FHIR {', '.join(map(str, fhir)) if isinstance(fhir, list) else fhir}"
        issues.append(Issue("error", "not-supported", f"{text}; this server speaks {FHIR_VERSION}."))
    if issues:
        raise InvalidPackage(*issues)
    return manifest


def _refused(code: str, text: str) -> InvalidPackage:
    return InvalidPackage(Issue("error", code, text))
