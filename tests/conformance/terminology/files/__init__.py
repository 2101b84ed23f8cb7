"""Concept files."""
