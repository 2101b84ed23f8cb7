"""Tests of the embedded PostgreSQL: real servers, real signals."""
