"""Feeds: messages of other standards into FHIR. They know ``conformance`` and the operations contract."""
