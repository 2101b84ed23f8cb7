"""Tests of the terminology engine."""
