"""Importers, on small files in the form of each release."""
