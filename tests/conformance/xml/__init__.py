"""FHIR XML, https://hl7.org/fhir/R4/xml.html."""
