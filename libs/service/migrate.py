"""Bring a service's database to the newest schema: `python -m libs.service.migrate <service>`, as the tables' owner.

MIGRATION_DATABASE_URL (or MIGRATION_DATABASE_URL_FILE) is the database's address with the owner's role, never the
service's own. Promises: two at once are safe (one waits, then finds nothing to do); the schema and what the service's
roles may do with it change in one transaction; no lock that others hold is waited for longer than five seconds at a
time, because everybody behind would wait too. Migrations only go forward.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command, context, op
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from libs.events.log.roles import PARTS, SECURED, policies, role_of
from libs.service.rights import FUNCTIONS, TABLES

ROOT = Path(__file__).parents[2]
LOCK = 1285_0001
"""The advisory lock of whoever migrates."""
LOCK_WAIT_S = 120.0
LOCK_TIMEOUT = "5s"
TRIES = 5
CONNECT_S = 5.0


class Trouble(Exception):
    """Why a database was not migrated: a sentence for the person who asked."""


def services() -> list[str]:
    """The services that have migrations."""
    return sorted(path.parent.parent.name for path in (ROOT / "services").glob("*/migrations/env.py"))


async def migrate(service: str, url: str, *, role: str | None = None) -> list[str]:
    """Bring the database at `url` to the newest schema; the revisions applied. `role` is the service's (its name).

    Raises Trouble.
    """
    role = role or service
    for attempt in range(1, TRIES + 1):
        try:
            return await _migrate(service, url, role)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state != "55P03" or attempt == TRIES:  # lock_not_available
                raise Trouble(_sentence((error.orig and error.orig.__cause__) or error.orig or error)) from error
            await asyncio.sleep(attempt)
        except (
            OSError,
            TimeoutError,
            ValueError,
            OverflowError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
        ) as error:
            raise Trouble(_sentence(error)) from error
    raise AssertionError("unreachable")


async def _migrate(service: str, url: str, role: str) -> list[str]:
    async def connect() -> Any:
        return await asyncpg.connect(url, timeout=CONNECT_S, server_settings={"application_name": "migrate"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await _take_lock(connection)
            wanted = [role_of(role, part) for part in PARTS]
            there = await connection.scalars(text("SELECT rolname FROM pg_roles"))
            if missing := sorted(set(wanted) - set(there)):
                raise Trouble(f"There is no role {missing[0]}: make it first, or name the service's role with --role.")
            await connection.rollback()
            before = await _revision(connection)
            await connection.run_sync(_upgrade, service, role)
            after = await _revision(connection)
            return [] if before == after else [after or ""]
    finally:
        await engine.dispose()  # the session's end gives the lock back


async def _take_lock(connection: AsyncConnection) -> None:
    give_up_at = time.monotonic() + LOCK_WAIT_S
    while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        await connection.rollback()
        if time.monotonic() > give_up_at:
            raise Trouble(f"Somebody else has been migrating this database for {LOCK_WAIT_S:g} s.")
        await asyncio.sleep(0.1)
    await connection.rollback()  # the lock is the session's, not the transaction's


async def _revision(connection: AsyncConnection) -> str | None:
    known = await connection.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
    revision = await connection.scalar(text("SELECT version_num FROM alembic_version")) if known else None
    await connection.rollback()
    return revision


def _upgrade(connection: Connection, service: str, role: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    config.attributes.update(connection=connection, role=role)
    command.upgrade(config, "head")


def run_environment() -> None:
    """What each service's `migrations/env.py` does: run the migrations, then grant, in one transaction."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
    with context.begin_transaction():
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        context.run_migrations()
        grant(connection, context.config.attributes["role"])


def execute_script(path: Path) -> None:
    """Execute a file of SQL statements, functions included, in the migration's transaction."""
    bind = op.get_bind()
    bind.exec_driver_sql("SELECT 1")  # begins the transaction, if nothing has yet
    connection = bind.connection.dbapi_connection
    assert connection is not None
    script = path.read_text("utf-8")
    # Without arguments asyncpg sends the text as one simple query, so PostgreSQL itself takes it apart.
    connection.run_async(lambda driver: driver.execute(script))


def begin(service: str, *, scoped: bool = True) -> None:
    """The first migration of every service: the log's tables, those of who may see what, then its own."""
    execute_script(ROOT / "libs" / "events" / "log" / "schema.sql")
    if scoped:
        execute_script(ROOT / "libs" / "events" / "log" / "scope.sql")
    execute_script(ROOT / "services" / service / "schema.sql")


def grant(connection: Connection, role: str) -> None:
    """Give each of the service's roles what `libs.service.rights` says, and nobody anything else."""
    quoted = connection.dialect.identifier_preparer.quote_identifier
    roles = {part: quoted(role_of(role, part)) for part in PARTS}
    everybody = ", ".join(roles.values())
    for statement in (
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {everybody}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {everybody}",
        f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, {everybody}",
        f"REVOKE ALL ON SCHEMA public FROM PUBLIC, {everybody}",
        f"GRANT USAGE ON SCHEMA public TO {everybody}",
    ):
        connection.exec_driver_sql(statement)
    for table in _present(connection, "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'p')", "rel", TABLES):
        for part, privileges in TABLES[table].items():
            connection.exec_driver_sql(f"GRANT {privileges} ON {quoted(table)} TO {roles[part]}")
    for function in _present(connection, "SELECT proname FROM pg_proc WHERE true", "pro", FUNCTIONS):
        to = ", ".join(roles[part] for part in FUNCTIONS[function])
        connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {quoted(function)} TO {to}")
    for statement in policies(role, connection.exec_driver_sql(SECURED).all()):
        connection.exec_driver_sql(statement)


def _present(connection: Connection, names: str, prefix: str, wanted: Iterable[str]) -> list[str]:
    """Which of these the schema has."""
    found = connection.exec_driver_sql(f"{names} AND {prefix}namespace = 'public'::regnamespace").scalars()
    return sorted(set(found).intersection(wanted))


def _sentence(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return "The database was not migrated: PostgreSQL's certificate is not believed: see sslrootcert and the host."
    if isinstance(error, ValueError | OverflowError):  # whose texts may repeat the address, password and all
        return "The database was not migrated: what was given is not an address of PostgreSQL."
    if isinstance(error, OSError):
        return "The database was not migrated: PostgreSQL cannot be reached at the address given."
    message = str(error).partition("\n")[0] or type(error).__name__
    return f"The database was not migrated and is as it was: {message}"


def _address() -> str:
    if path := os.environ.get("MIGRATION_DATABASE_URL_FILE"):
        return Path(path).read_text("utf-8").strip()
    try:
        return os.environ["MIGRATION_DATABASE_URL"]
    except KeyError:
        raise Trouble("MIGRATION_DATABASE_URL is not set: the database's address, with the owner's role.") from None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.service.migrate", description=__doc__)
    parser.add_argument("service", choices=services())
    parser.add_argument("--role", help="the service's role in the database; the service's name if left out")
    given = parser.parse_args(arguments)
    try:
        done = asyncio.run(migrate(given.service, _address(), role=given.role))
    except (Trouble, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.service}: {'migrated to ' + done[-1] if done else 'up to date'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
