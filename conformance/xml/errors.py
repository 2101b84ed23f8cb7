"""What JSON can say and XML can't, https://hl7.org/fhir/R4/xml.html."""

from __future__ import annotations


class NotInXml(ValueError):
    """A resource holds what XML can't carry: characters outside of XML 1.0, or a narrative that is not well-formed."""
