"""The dictionaries of distinct texts and units, for https://hl7.org/fhir/R4/search.html#modifiers (``:text``, ``:below``).

A display or a unit occurs in many resources. Those carry its token; the text itself is stored once. A process remembers
what is there already, so a usual write adds no statement. What is new goes in ahead of the resources and in their
transaction, if there is one: an entry that no resource carries is harmless, the reverse would hide a resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.store.database import Session
from fhir_server.store.entries import IndexEntries, TextEntry, UnitEntry

# In sorted order, so that concurrent writers of the same entries wait for each other and never in a circle.
_TEXTS = """INSERT INTO text_dictionary (tenant, parameter, value, token)
SELECT %s, x.parameter, x.value, x.token FROM unnest(%s::int4[], %s::text[], %s::int8[]) AS x(parameter, value, token)
ORDER BY x.parameter, x.value COLLATE "C", x.token
ON CONFLICT DO NOTHING RETURNING parameter, value, token"""
_UNITS = """INSERT INTO unit_dictionary (tenant, dimension, token, multiplier, addend, divisor)
SELECT %s, x.dimension, x.token, x.multiplier, x.addend, x.divisor
FROM unnest(%s::int8[], %s::int8[], %s::numeric[], %s::numeric[], %s::numeric[])
  AS x(dimension, token, multiplier, addend, divisor)
ORDER BY x.dimension, x.token
ON CONFLICT DO NOTHING RETURNING dimension, token, multiplier::text, addend::text, divisor::text"""


async def add_texts(session: Session, tenant: int, entries: Iterable[IndexEntries]) -> None:
    """Make sure that the dictionaries hold all texts and units of some resources; to be awaited before these are written.

    Inside a transaction an entry of its own is not remembered, since it may be rolled back.
    """
    known = session.known
    texts: dict[TextEntry, None] = {}
    units: dict[UnitEntry, None] = {}
    for entry in entries:
        for text in entry.texts:
            if (tenant, text) not in known:
                texts[text] = None
        for unit in entry.units:
            if (tenant, unit) not in known:
                units[unit] = None
    if texts:
        added = {TextEntry(*row) for row in await session.fetch(_TEXTS, [tenant, *_columns(list(texts))])}
        known.add((tenant, text) for text in texts if not (session.in_transaction and text in added))
    if units:
        rows = await session.fetch(_UNITS, [tenant, *_columns(list(units))])
        added_units = {UnitEntry(row[0], row[1], *map(int, row[2:])) for row in rows}
        known.add((tenant, unit) for unit in units if not (session.in_transaction and unit in added_units))


def _columns(entries: Sequence[TextEntry] | Sequence[UnitEntry]) -> list[list[Any]]:
    """Return the columns as arrays of texts, which the statements cast: so the parameters have the same types always."""
    return [list(map(str, column)) for column in zip(*entries, strict=True)]
