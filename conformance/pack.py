"""Many definitions in one file, of which only those that are asked for are read.

A pack holds resources by type and canonical URL (https://hl7.org/fhir/R4/references.html#canonical). It is mapped into
memory, so that processes share what lies in it, and each resource is compressed on its own. Fractions are Decimals.
The file is: a magic line, the length of the index (8 bytes, big-endian), the index as compressed JSON, the compressed
resources.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]

_MAGIC = b"praxis-pack-1\n"
_LENGTH = struct.Struct(">Q")
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Pack:
    """The resources of a pack file. Raises ValueError when the file is none."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._map[: len(_MAGIC)] != _MAGIC:
            raise ValueError(f"{path} is not a pack of definitions")
        start = len(_MAGIC) + _LENGTH.size
        (length,) = _LENGTH.unpack(self._map[len(_MAGIC) : start])
        self._base = start + length
        # type → url → [(version, offset, length)], in the order they were written
        self._index: dict[str, dict[str, list[tuple[str, int, int]]]] = _decode(
            zlib.decompress(self._map[start : self._base])
        )

    def find(self, resource_type: str, canonical: str) -> Json | None:
        """Return the resource of a canonical URL, perhaps ``url|version``, or None. Each call makes a new dict."""
        url, _, version = canonical.partition("|")
        for known, offset, length in reversed(self._index.get(resource_type, {}).get(url, ())):
            if not version or known == version:
                return self._read(offset, length)
        return None

    def __contains__(self, key: tuple[str, str]) -> bool:
        """Tell whether there is a resource of this (type, URL without version)."""
        resource_type, url = key
        return url in self._index.get(resource_type, ())

    def urls(self, resource_type: str) -> list[str]:
        """Return the URLs of all resources of a type, in the order they were written."""
        return list(self._index.get(resource_type, ()))

    def versions(self, resource_type: str, url: str) -> list[str]:
        """Return the versions of a resource, the one that its URL alone means first; an empty text for none."""
        return [version for version, _, _ in reversed(self._index.get(resource_type, {}).get(url, ()))]

    def resources(self, resource_type: str) -> Iterator[Json]:
        """Yield all resources of a type, in the order they were written."""
        for places in self._index.get(resource_type, {}).values():
            for _, offset, length in places:
                yield self._read(offset, length)

    def _read(self, offset: int, length: int) -> Json:
        start = self._base + offset
        resource: Json = _decode(zlib.decompress(self._map[start : start + length]))
        return resource


def write_pack(path: Path, resources: Iterable[Json]) -> int:
    """Write resources that have a ``url``, and NamingSystems, into a pack file and return how many.

    A NamingSystem is found by each of its unique ids, an OID or UUID as a URN. Equal input gives equal bytes.
    """
    index: dict[str, dict[str, list[tuple[str, int, int]]]] = {}
    blobs: list[bytes] = []
    offset = count = 0
    for resource in resources:
        blob = zlib.compress(_encode(resource), 9)
        place = (resource.get("version", ""), offset, len(blob))
        for url in urls_of(resource):
            index.setdefault(resource["resourceType"], {}).setdefault(url, []).append(place)
        blobs.append(blob)
        offset += len(blob)
        count += 1
    head = zlib.compress(_encode(index), 9)
    path.write_bytes(b"".join((_MAGIC, _LENGTH.pack(len(head)), head, *blobs)))
    return count


_URN = {"oid": "urn:oid:", "uuid": "urn:uuid:"}


def urls_of(resource: Json) -> list[str]:
    """Return what a resource is found by: its ``url``, or a NamingSystem's unique ids, an OID or UUID as a URN."""
    if resource["resourceType"] != "NamingSystem":
        return [resource["url"]]
    ids = [(_URN.get(i.get("type", ""), ""), i["value"]) for i in resource["uniqueId"]]
    return list(dict.fromkeys(value if value.startswith(urn) else urn + value for urn, value in ids))
