"""FHIR packages: implementation guides as NPM-style archives, https://hl7.org/fhir/packages.html."""

from conformance.packages.dependencies import find_missing, satisfies
from conformance.packages.read import Definition, InvalidPackage, Package, read_package

__all__ = ["Definition", "InvalidPackage", "Package", "find_missing", "read_package", "satisfies"]
