"""FHIR XML to FHIR JSON and back without loss, driven by the definitions, https://hl7.org/fhir/R4/xml.html."""

from conformance.xml.errors import NotInXml
from conformance.xml.plan import FHIR, XHTML
from conformance.xml.read import from_xml
from conformance.xml.write import to_xml

__all__ = ["FHIR", "XHTML", "NotInXml", "from_xml", "to_xml"]
