"""Whether a note asserts what it mentions, denies it, only fears it, or says it of the past or of a relative."""
