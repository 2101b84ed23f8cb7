"""Whether a note asserts what it mentions: negated, possible, hypothetical, historical, of a relative, or plainly so."""
