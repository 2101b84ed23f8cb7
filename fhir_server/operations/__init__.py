"""FHIR operations: an OperationDefinition and a handler each."""
