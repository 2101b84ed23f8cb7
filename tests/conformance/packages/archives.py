"""Packages made for tests."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a ``.tgz`` with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def manifest(**more: Any) -> Json:
    """Return a manifest."""
    return {"name": "example.package", "version": "1.0.0", "fhirVersions": ["4.0.1"], **more}


def package(*resources: Json, **more: Any) -> bytes:
    """Return a package of resources; ``more`` is for the manifest."""
    files = {"package/package.json": json.dumps(manifest(**more)).encode()}
    for number, resource in enumerate(resources):
        files[f"package/{resource['resourceType']}-{number}.json"] = json.dumps(resource).encode()
    return archive(files)


def zeros(size: int) -> bytes:
    """Return a small ``.tgz`` whose one file unpacks to many bytes."""
    header = tarfile.TarInfo("package/example/big.json")
    header.size = size
    return gzip.compress(header.tobuf()) + gzip.compress(bytes(1 << 20)) * (size >> 20)
