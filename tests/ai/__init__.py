"""Tests of the AI operations."""
