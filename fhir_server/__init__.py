"""The Praxis server: FHIR R4 over HTTP on PostgreSQL."""
