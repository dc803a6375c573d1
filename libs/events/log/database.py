"""A service's PostgreSQL database: connections that cannot hold the order for long.

Invariant: no transaction of ours outlives two seconds, idle or not, and a cut link is noticed within about four: a
paused process or a dead copy must not hold the order lock (`schema.sql`) while others wait.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from libs.events.log.errors import Unavailable
from libs.events.log.roles import WRITER, Address, Login, Part

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

LIMITS = {
    "transaction_timeout": "2s",
    "idle_in_transaction_session_timeout": "2s",
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
    "jit": "off",
}
COMMAND_TIMEOUT_S = 4.0
"""The server ends a transaction after two: no answer by now means that there is nobody at the other end."""
CONNECT_TIMEOUT_S = 3.0

UNREACHABLE: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What a driver raises when the server is away, starting, stopping, full, or cut us off."""

TRANSIENT: tuple[type[BaseException], ...] = (
    *UNREACHABLE,
    Unavailable,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
)
"""What the next try may not meet."""


async def _nothing_to_reset(_: Connection) -> None:
    """A connection goes back to the pool as it came: nobody sets anything for longer than a transaction (SET LOCAL).

    asyncpg would ask the server to reset everything, a second round trip for each one of ours. What it does first it
    still does: roll back a transaction that was left open.
    """


class Database:
    """One service's database. Every method raises Unavailable where the server cannot be reached."""

    def __init__(self, address: Address | Login, *, source: str, part: Part = WRITER, max_size: int = 10) -> None:
        self.source = source
        self.login = address if isinstance(address, Login) else Login(address)
        self._part = part
        self._max_size = max_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @classmethod
    async def connect(
        cls, address: Address | Login, *, source: str, part: Part = WRITER, max_size: int = 10
    ) -> Database:
        """Make the pool, all of whose connections play one part. Connects when first used, so a server that is down
        does not keep a service from starting."""
        database = cls(address, source=source, part=part, max_size=max_size)
        database._pool = await database._new_pool()
        return database

    @property
    def dsn(self) -> str:
        return self.login.dsn

    async def _new_pool(self) -> asyncpg.Pool[asyncpg.Record]:
        async def connect(*_: Any, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
            return await self.login.connect(self._part, **options)

        return await asyncpg.create_pool(
            connect=connect,
            min_size=0,
            max_size=self._max_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings=LIMITS,
            reset=_nothing_to_reset,
        )

    async def give_up(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Let go of every connection of a pool at once: one of them had no answer in time, and a link that was cut
        without a word was cut for all of them. Found out one by one, that would take minutes."""
        if self._pool is pool:
            fresh = await self._new_pool()
            if self._pool is pool:
                self._pool = fresh
                pool.terminate()

    async def close(self) -> None:
        """Close every connection; what runs has two seconds to end."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 2)
            except UNREACHABLE:
                self._pool.terminate()

    @property
    def pool(self) -> asyncpg.Pool[asyncpg.Record]:
        if self._pool is None:
            raise RuntimeError("the database is used before connect()")
        return self._pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for one caller."""
        pool = self.pool
        try:
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                try:
                    yield connection
                except TimeoutError:
                    await self.give_up(pool)
                    raise
        except UNREACHABLE as error:
            # An argument that the driver could not encode is its caller's fault. (A certificate that is not believed is
            # a ValueError as well.)
            if isinstance(error, ValueError) and not isinstance(error, ssl.SSLError):
                raise
            raise Unavailable(f"PostgreSQL: {type(error).__name__}") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction that commits when the block ends well."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        async with self.connection() as connection:
            return await connection.execute(sql, *args)

    async def trouble(self) -> str | None:
        """For readiness: what keeps the database from answering, or None."""
        try:
            async with asyncio.timeout(2):
                await self.fetchval("SELECT 1")
        except (Unavailable, TimeoutError) as error:
            return f"PostgreSQL does not answer ({error})" if str(error) else "PostgreSQL does not answer"
        return None
