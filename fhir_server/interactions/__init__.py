"""One module per FHIR interaction, named by its code in the CapabilityStatement, https://hl7.org/fhir/R4/http.html."""
