"""Tests of the FHIR library."""
