"""Tests of search, on real PostgreSQL."""
