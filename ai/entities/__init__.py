"""Entities in clinical free text: what is named where, how it is asserted, and what it may be coded as."""
