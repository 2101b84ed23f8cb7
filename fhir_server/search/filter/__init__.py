"""``_filter``, expressions over search parameters, https://hl7.org/fhir/R4/search_filter.html.

``parse`` reads the text into the tree of ``expression``; ``bind`` turns that into the conditions of ordinary parameters.
"""
