"""Whole-system tests: the acceptance list of the first slice, over real processes and sockets."""
