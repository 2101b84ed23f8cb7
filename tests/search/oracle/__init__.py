"""A plain reading of https://hl7.org/fhir/R4/search.html in Python, to hold the server's search against.

It shares nothing with ``fhir_server.search``: resources lie in a list, every search looks at each of them.
"""
