"""Tests of UCUM."""
