"""The connection pool, sessions and transactions, and where psycopg's errors become the server's.

One request uses one connection. Waiting for a connection, a statement and an idle transaction are all bounded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from types import TracebackType
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fhir_server.errors import Conflict, FhirError, InvalidRequest, TimedOut, Unavailable
from fhir_server.store.lender import Connection, Lender, Pool, PoolLender, Row

Parameters = Sequence[Any] | Mapping[str, Any]
LONG_STATEMENT = 4096
"""From this length on psycopg would translate the placeholders anew each time: 0.3 ms for a union over all types."""
PLAN_BY_VALUE = "-c plan_cache_mode=force_custom_plan"
PLAN_ONCE = "-c plan_cache_mode=force_generic_plan"


def translate(error: Exception) -> FhirError | None:
    """Return the server's error for one of psycopg's, or None when it is a defect that must surface as such."""
    match error:
        case PoolTimeout() | TooManyRequests() | PoolClosed():
            return Unavailable("All database connections are busy; try again shortly.")
        case pg.QueryCanceled():
            return TimedOut("The database did not finish in the time a request may take.")
        case pg.SerializationFailure() | pg.DeadlockDetected() | pg.LockNotAvailable() | pg.UniqueViolation():
            return Conflict("Another request changed the same resource at the same time; try again.")
        case pg.IdleInTransactionSessionTimeout() | pg.TransactionTimeout():
            return TimedOut("The transaction took longer than a request may take.")
        case pg.UntranslatableCharacter() | pg.CharacterNotInRepertoire():
            return InvalidRequest("The request holds a character that can't be stored.", code="value")
        case pg.DiskFull() | pg.OutOfMemory() | pg.TooManyConnections() | pg.ReadOnlySqlTransaction():
            return Unavailable("The database can't take this now; try again later.")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return Unavailable("The database is not reachable; try again shortly.")
        case psycopg.DataError() if "NUL" in str(error):
            return InvalidRequest("The request holds a NUL character.", code="value")
    return None


async def _configure(connection: Connection) -> None:
    """Let a connection keep the statements of every resource type prepared."""
    connection.prepared_max = 2000


@lru_cache(maxsize=256)
def _numbered(sql: str) -> bytes:
    """Return a statement as the database takes it: ``$1`` in place of the first ``%s``."""
    first, *rest = sql.split("%s")
    return "".join([first, *(f"${number}{text}" for number, text in enumerate(rest, start=1))]).encode()


class Known:
    """What this process knows to be committed in the database for good: hashable facts, the oldest forgotten first."""

    _MOST = 200_000

    def __init__(self) -> None:
        self._facts: dict[Hashable, None] = {}

    def __contains__(self, fact: Hashable) -> bool:
        """Tell whether a fact is known."""
        return fact in self._facts

    def add(self, facts: Iterable[Hashable]) -> None:
        """Remember facts."""
        self._facts.update(dict.fromkeys(facts))
        if len(self._facts) > self._MOST:
            for fact in list(self._facts)[: self._MOST // 4]:
                del self._facts[fact]


class Session:
    """What runs statements, for the length of a request or transaction, on one connection borrowed when it is first needed.

    ``steady`` lends connections on which a statement is planned once and for all.
    """

    def __init__(self, lender: Lender, known: Known | None = None, steady: Lender | None = None) -> None:
        self._lender = lender
        self._connection: Connection | None = None
        self._steady = steady
        self._planned_by_value = False
        self.known = Known() if known is None else known

    async def fetch(self, sql: str, parameters: Parameters = (), *, steady: bool = False) -> list[Row]:
        """Run a statement and return all its rows.

        ``steady`` says that one plan is good for all values: it need not be planned anew, nor see this session's transaction.
        """
        if steady and self._steady is not None and not self.in_transaction:
            async with _Loan(Session(self._steady, self.known)) as other:
                return await other.fetch(sql, parameters)
        return await (await self._run(sql, parameters)).fetchall()

    async def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run a statement and return the number of rows it touched."""
        return (await self._run(sql, parameters)).rowcount

    async def copy(self, sql: str, rows: bytes) -> None:
        """Run a ``COPY … FROM STDIN`` statement with its rows."""
        connection = self._connection or await self._connect()
        try:
            async with connection.cursor().copy(sql.encode()) as copying:
                await copying.write(rows)
        except psycopg.Error as error:
            raise (translate(error) or error) from error

    async def plan_by_value(self) -> None:
        """Plan each statement of the transaction by its values, as searches need; asks the database once a transaction."""
        if not self._planned_by_value:
            self._planned_by_value = True
            await self.execute("SET LOCAL plan_cache_mode = force_custom_plan")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Begin a transaction: committed at the end, rolled back on any exception."""
        connection = self._connection or await self._connect()
        async with connection.transaction():
            yield

    @property
    def in_transaction(self) -> bool:
        """Whether what it does can still be rolled back."""
        connection = self._connection
        return connection is not None and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    async def end(self) -> None:
        """Give the connection back, if there is one."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await self._lender.take_back(connection)

    async def _connect(self) -> Connection:
        try:
            connection = await self._lender.lend()
        except Exception as error:
            raise (translate(error) or error) from error
        if self._connection is not None:  # another statement of the session was first
            await self._lender.take_back(connection)
        else:
            self._connection = connection
        return self._connection

    async def _run(self, sql: str, parameters: Parameters) -> psycopg.AsyncCursor[Row]:
        connection = self._connection or await self._connect()
        cursor: psycopg.AsyncCursor[Row]
        if len(sql) > LONG_STATEMENT and not isinstance(parameters, Mapping):
            cursor, query = psycopg.AsyncRawCursor(connection), _numbered(sql)
            cursor.format = psycopg.pq.Format.BINARY
        else:
            cursor, query = connection.cursor(binary=True), sql.encode()
        try:
            await cursor.execute(query, parameters, prepare=True)
        except psycopg.Error as error:
            raise (translate(error) or error) from error
        return cursor


class _Loan:
    """A session for the length of an ``async with``; plain methods, for this is on every request's path."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    async def __aenter__(self) -> Session:
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.end()
        if isinstance(error, Exception) and not isinstance(error, FhirError):
            translated = translate(error)
            if translated is not None:
                raise translated from error


class Database:
    """Connections to one PostgreSQL database, in two pools: searches are planned anew each time, all else once.

    ``statement_timeout``, ``pool_timeout`` and ``idle_timeout`` are in seconds; ``max_connections`` holds for each pool.
    """

    def __init__(
        self,
        dsn: str,
        *,
        max_connections: int = 12,
        statement_timeout: float = 30,
        pool_timeout: float = 10,
        idle_timeout: float = 60,
    ) -> None:
        options = (
            f"-c statement_timeout={int(statement_timeout * 1000)} "
            f"-c idle_in_transaction_session_timeout={int(idle_timeout * 1000)} "
            f"-c lock_timeout={int(statement_timeout * 500)} -c timezone=UTC -c jit=off"
        )

        def pool(options: str) -> Pool:
            return AsyncConnectionPool(
                make_conninfo(dsn, options=options, application_name="praxis"),
                min_size=0,
                max_size=max_connections,
                timeout=pool_timeout,
                max_idle=300,
                max_waiting=2000,
                kwargs={"autocommit": True, "prepare_threshold": 0},
                configure=_configure,
                open=False,
            )

        self._known = Known()
        self._pool = pool(f"{options} {PLAN_ONCE}")
        # How selective a token is depends on its value, which a generic plan does not know.
        self._search_pool = pool(f"{options} {PLAN_BY_VALUE}")
        self._connections, self._search_connections = PoolLender(self._pool), PoolLender(self._search_pool)

    async def open(self) -> None:
        """Connect; raises Unavailable when the database does not answer."""
        try:
            for pool in (self._pool, self._search_pool):
                await pool.open()
            async with self.session() as session:
                await session.fetch("SELECT 1")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection."""
        for pool in (self._pool, self._search_pool):
            await pool.close()

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Lend a connection on which each statement commits by itself."""
        return _Loan(Session(self._connections, self._known))

    def searching(self) -> AbstractAsyncContextManager[Session]:
        """Lend a connection for searches; those of one plan for all values run on others."""
        return _Loan(Session(self._search_connections, self._known, self._connections))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """Lend a connection inside one transaction: committed at the end, rolled back on any exception."""
        async with self.session() as session, session.transaction():
            yield session
