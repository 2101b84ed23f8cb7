"""Interactions, without HTTP."""
