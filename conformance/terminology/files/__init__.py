"""Code systems as immutable, memory-mapped files, for those too large to be kept as a resource in memory.

:mod:`~conformance.terminology.files.write` makes a file from a stream of concepts, :mod:`~conformance.terminology.files.read`
answers from it as https://hl7.org/fhir/R4/codesystem.html asks; :mod:`~conformance.terminology.files.layout` says what lies where.
"""
