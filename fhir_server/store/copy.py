"""Writing many new resources at once with COPY, https://www.postgresql.org/docs/current/sql-copy.html.

The rows are those that ``store.write`` makes. Nothing is replaced: where something is stored already under a key or an id,
the whole transaction fails.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from struct import Struct

from fhir_server.store.contained import add_contained
from fhir_server.store.database import Session
from fhir_server.store.hashing import value_hash
from fhir_server.store.tables import partition_name, type_ids
from fhir_server.store.write import Change

# The binary format: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS. Each row is its number of
# columns, and each column its length and its bytes.
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TAIL = b"\xff\xff"
# tenant, type, key, reference_hash, last_updated, version, method, and the length of the id that follows
_RESOURCE = Struct(">h ii ih iq iq iq ii i1s i")
_LENGTH = Struct(">i")
_DATE = Struct(">h ii ii iq iq iq")
# tenant, parameter, key, and the length of the value that follows
_STRING = Struct(">h ii ii iq i")
_INT8_OID = 20
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_RESOURCE_COLUMNS = "tenant, type, key, reference_hash, last_updated, version, method, id, tokens, content"
_STRINGS = "COPY string_index (tenant, parameter, key, value) FROM STDIN (FORMAT binary)"
_DATES = "COPY date_index (tenant, parameter, key, low, high) FROM STDIN (FORMAT binary)"
_NUMBERS = "COPY number_index (tenant, parameter, key, value, low, high, system_code, code, unit) FROM STDIN"


async def copy_new(session: Session, tenant: int, changes: Sequence[Change]) -> None:
    """Store new resources, in the session's transaction; their texts are to be in the dictionary (``store.texts``).

    Raises Conflict when one is there already.
    """
    by_type: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        by_type[change.resource_type].append(change)
    for resource_type in sorted(by_type):
        await session.copy(
            f"COPY {partition_name(resource_type)} ({_RESOURCE_COLUMNS}) FROM STDIN (FORMAT binary)",
            _binary(_resource_rows(tenant, resource_type, by_type[resource_type])),
        )
    await session.copy(_STRINGS, _binary(_string_rows(tenant, changes)))
    await session.copy(_DATES, _binary(_date_rows(tenant, changes)))
    await session.copy(_NUMBERS, "".join(_number_rows(tenant, changes)).encode())
    containing = [change for change in changes if change.contained]
    if containing:
        await add_contained(session, tenant, containing)


def _binary(rows: Iterable[bytes]) -> bytes:
    return b"".join((_HEAD, *rows, _TAIL))


def _resource_rows(tenant: int, resource_type: str, changes: Iterable[Change]) -> Iterable[bytes]:
    type_id = type_ids()[resource_type]
    for change in changes:
        id_, content = change.id.encode(), change.content or b""
        tokens = change.entries.tokens
        head = _RESOURCE.pack(
            *(10, 4, tenant, 2, type_id, 8, change.key, 8, value_hash(f"{resource_type}/{change.id}")),
            *(
                8,
                (change.last_updated - _EPOCH) // _MICROSECOND,
                4,
                change.version,
                1,
                change.method.encode(),
                len(id_),
            ),
        )
        yield b"".join((head, id_, _pack_array(tokens), _LENGTH.pack(len(content)), content))


def _pack_array(numbers: Sequence[int]) -> bytes:
    """Return an ``int8[]`` as a column: its length, then dimensions, no NULLs, type, size, lower bound, numbers."""
    count = len(numbers)
    if not count:
        return _array(0).pack(12, 0, 0, _INT8_OID)
    columns = [8] * (2 * count)
    columns[1::2] = numbers
    return _array(count).pack(20 + 12 * count, 1, 0, _INT8_OID, count, 1, *columns)


@cache
def _array(count: int) -> Struct:
    return Struct(f">iiii{'ii' if count else ''}{'iq' * count}")


def _string_rows(tenant: int, changes: Iterable[Change]) -> Iterable[bytes]:
    for change in changes:
        for entry in change.entries.strings:
            value = entry.value.encode()
            yield _STRING.pack(4, 4, tenant, 4, entry.parameter, 8, change.key, len(value)) + value


def _date_rows(tenant: int, changes: Iterable[Change]) -> Iterable[bytes]:
    for change in changes:
        for entry in change.entries.dates:
            yield _DATE.pack(5, 4, tenant, 4, entry.parameter, 8, change.key, 8, entry.low, 8, entry.high)


def _number_rows(tenant: int, changes: Iterable[Change]) -> Iterable[str]:
    """Yield lines of the text format: ``numeric`` is cheaper for the database to read than for Python to pack."""
    for change in changes:
        for e in change.entries.numbers:
            hashes = "\t".join([r"\N" if h is None else str(h) for h in (e.system_code, e.code, e.unit)])
            yield f"{tenant}\t{e.parameter}\t{change.key}\t{e.value}\t{e.low}\t{e.high}\t{hashes}\n"
