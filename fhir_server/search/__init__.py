"""FHIR search as a compiler, https://hl7.org/fhir/R4/search.html.

``index`` turns a resource into index entries; ``parse`` → ``bind`` → ``rewrites`` → ``sql`` turn a query string into
one SELECT; ``execute.search`` runs it. One file per parameter type holds both its extraction and its predicate.
"""
