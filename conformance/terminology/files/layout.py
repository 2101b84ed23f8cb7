"""What lies where in a concept file, one version of one code system, https://hl7.org/fhir/R4/codesystem.html.

All numbers are little-endian. The file is: a magic text, the number of sections, for each section its offset and length
(in the order of :data:`SECTIONS`), the sections, each at a multiple of eight bytes. A concept's number is its place in the source.

==================  ==================================================================================================
``meta``            JSON: the resource without concepts; the tables of properties, designation uses
``codes``           the codes, one after the other; ``code_starts``: where each begins (one more than there are concepts)
``by_code``         the numbers, sorted by code (UTF-8 bytes); ``by_folded``: sorted by folded code, then number
``order``           the numbers, parents before children; empty if that is 0, 1, 2 …
``records``         what else is known of each concept, MessagePack; ``record_starts``: where each begins
``parents``         the numbers of the parents of concept 0, then those of concept 1 …; ``parent_starts``
``children``        likewise; ``child_starts``
``roots``           the numbers of concepts without parents
``property_*``      postings whose key is a property's place in the table (two bytes, big-endian) and a value's text
``word_*``          postings whose key is a folded word of the code, the display or a designation
``display_sizes``   how many different words the display of each concept has, one byte, at most 255
==================  ==================================================================================================

Postings are sorted keys and for each the sorted numbers of the concepts that have it: ``*_keys``, ``*_key_starts``,
``*_items``, ``*_item_starts``. A record is an array: display, definition, flags, designations (value, language, use's place
in the table, extensions), properties (property's place, value), extensions. Absent ends of arrays are left off.
"""

from __future__ import annotations

import struct

MAGIC = b"praxis-concepts-1\n".ljust(24, b"\0")
SECTIONS = (
    "meta",
    "codes",
    "code_starts",
    "by_code",
    "by_folded",
    "order",
    "records",
    "record_starts",
    "parents",
    "parent_starts",
    "children",
    "child_starts",
    "roots",
    "property_keys",
    "property_key_starts",
    "property_items",
    "property_item_starts",
    "word_keys",
    "word_key_starts",
    "word_items",
    "word_item_starts",
    "display_sizes",
)
WIDE = frozenset(("record_starts",))
"""The sections whose numbers have eight bytes; of all other arrays they have four."""
PLACE = struct.Struct("<QQ")
COUNT = struct.Struct("<Q")
ALIGNMENT = 8
PROPERTY_KEY = struct.Struct(">H")
ABSTRACT, INACTIVE = 1, 2
"""The bits of a record's flags."""
