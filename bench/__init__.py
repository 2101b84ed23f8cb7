"""The load generator: the same scenarios against any FHIR base URL, and the goals this server is held to."""
