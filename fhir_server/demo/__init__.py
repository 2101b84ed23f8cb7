"""The demo practice: a believable clinic made from a fixed seed.

Resources are plain dicts, authored directly: building the 20,000 of them through model classes would cost
several seconds at start-up, and the tests check every one of them against the R4 definitions instead.
"""

from fhir_server.demo.bundles import bundles
from fhir_server.demo.practice import generate

__all__ = ["bundles", "generate"]
