"""What can be wrong with the content of a code system that is to become a concept file."""

from __future__ import annotations


class InvalidContent(ValueError):
    """The concepts contradict each other or can't be read; the message says where."""
