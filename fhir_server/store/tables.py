"""The schema, https://hl7.org/fhir/R4/http.html#versions for what it must keep.

One row per resource in ``resource`` (partitioned by type; the partitions are addressed directly, so the planner
never prunes), one per superseded version in ``resource_history``. Equality searches (token, reference, uri) read the
GIN index over ``resource.tokens``; ranges and string prefixes read narrow B-tree tables keyed by ``key``.
``tenant`` leads every key. See docs/decisions/0001-storage.md.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, CHAR

from conformance.definitions import resource_types

metadata = MetaData()


@cache
def type_ids() -> dict[str, int]:
    """Resource type → its partition number. R4's list of types is closed, so its sorted order is stable."""
    return {name: number for number, name in enumerate(resource_types(), start=1)}


def partition_name(resource_type: str) -> str:
    """Return the name of the table that holds one resource type."""
    return f"resource_{resource_type.lower()}"


def resource_columns() -> list[Column[object]]:
    """Return the columns of what can be searched."""
    return [
        Column("tenant", Integer, nullable=False),
        Column("type", SmallInteger, nullable=False),
        # Time-ordered, immutable, unique within tenant and type: the default sort and what index rows point to.
        Column("key", BigInteger, nullable=False),
        # Hash of "Type/id": what a reference token of another resource is made of.
        Column("reference_hash", BigInteger, nullable=False),
        Column("last_updated", DateTime(timezone=True), nullable=False),
        Column("version", Integer, nullable=False),
        Column("method", CHAR(1), nullable=False),  # C create, U update, D delete
        Column("id", Text(collation="C"), nullable=False),
        Column("tokens", ARRAY(BigInteger), nullable=False),
        Column("content", LargeBinary),  # UTF-8 JSON as sent, with id and meta; NULL once deleted
    ]


resource = Table(
    "resource",
    metadata,
    *resource_columns(),
    PrimaryKeyConstraint("tenant", "type", "id"),
    UniqueConstraint("tenant", "type", "key"),
    postgresql_partition_by="LIST (type)",
)
Index("resource_last_updated", resource.c.tenant, resource.c.type, resource.c.last_updated, resource.c.key)
Index("resource_reference", resource.c.tenant, resource.c.reference_hash)
Index("resource_tokens", resource.c.tokens, postgresql_using="gin", postgresql_with={"gin_pending_list_limit": 256})


@cache
def partition(resource_type: str) -> Table:
    """Return one partition as a table for queries; it lives in a MetaData of its own (migrations create it by name)."""
    return Table(partition_name(resource_type), MetaData(), *resource_columns())


resource_history = Table(
    "resource_history",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("last_updated", DateTime(timezone=True), nullable=False),
    Column("method", CHAR(1), nullable=False),
    Column("id", Text(collation="C"), nullable=False),
    Column("content", LargeBinary),
    PrimaryKeyConstraint("tenant", "type", "id", "version"),
    # Only versions of one transaction share an instant, so nothing but the time needs to be in these.
    Index("resource_history_time", "tenant", "last_updated"),
    Index("resource_history_type_time", "tenant", "type", "last_updated"),
)

# The range tables have no unique constraint: an update deletes the old rows and inserts the new ones in one statement.
string_index = Table(
    "string_index",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("parameter", Integer, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("value", Text(collation="C"), nullable=False),
    Index("string_index_value", "tenant", "parameter", "value", "key"),
    Index("string_index_key", "tenant", "key", "parameter", "value"),
)

# Instants are microseconds since 1970-01-01T00:00:00Z; ``low`` is inclusive, ``high`` exclusive; open ends are the int8 limits.
date_index = Table(
    "date_index",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("parameter", Integer, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    Index("date_index_value", "tenant", "parameter", "low", "high", "key"),
    Index("date_index_key", "tenant", "key", "parameter", "low", "high"),
)

# Numbers and quantities: [low, high) is the value's precision range, ``value`` orders. NULL units: a plain number.
number_index = Table(
    "number_index",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("parameter", Integer, nullable=False),
    Column("key", BigInteger, nullable=False),
    Column("value", Numeric, nullable=False),
    Column("low", Numeric, nullable=False),
    Column("high", Numeric, nullable=False),
    Column("system_code", BigInteger),  # hash of "system|code"
    Column("code", BigInteger),  # hash of the code
    Column("unit", BigInteger),  # hash of the display unit
    Index("number_index_value", "tenant", "parameter", "value", "key"),
    Index("number_index_key", "tenant", "key", "parameter", "value"),
)

# The distinct texts that tokens stand for, so that a search by prefix finds their tokens. Entries are never removed.
text_dictionary = Table(
    "text_dictionary",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("parameter", Integer, nullable=False),
    Column("value", Text(collation="C"), nullable=False),
    Column("token", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "parameter", "value", "token"),
)

# The units in use, by what they measure: a value in base units is (value * multiplier + addend) / divisor.
unit_dictionary = Table(
    "unit_dictionary",
    metadata,
    Column("tenant", Integer, nullable=False),
    Column("dimension", BigInteger, nullable=False),  # hash of the base units
    Column("token", BigInteger, nullable=False),  # hash of "system|code"
    Column("multiplier", Numeric, nullable=False),
    Column("addend", Numeric, nullable=False),
    Column("divisor", Numeric, nullable=False),
    PrimaryKeyConstraint("tenant", "dimension", "token"),
)
