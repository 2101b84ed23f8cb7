"""Read code systems in the forms in which their publishers release them, https://hl7.org/fhir/R4/terminologies-systems.html.

Each reader gives a :class:`~conformance.terminology.importers.source.Import`: the CodeSystem resource without concepts and
a stream of concepts, ready for :func:`conformance.terminology.files.write.write_concepts`.
"""
