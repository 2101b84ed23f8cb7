"""What docs/reference/search.md says of search, as examples that are run against a server.

``python -m tests.search.reference`` prints the generated part of that page, ``--write`` puts it there.
"""
