"""A site's own models: the versions it keeps, which of them is in force, and going back."""
