"""One database a service, and its roles: `<service>_owner` owns the tables and migrates, `<service>` is the service's
login, and `<service>_reader`, `_relay` and `_consumer` are the parts it plays besides (libs/events/log/roles.py).

Making them is idempotent. A service's login may connect to its own database and to no other, and has the rights of a
part only on a connection that plays it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from deploy.local.process import Trouble
from deploy.local.topics import SERVICES
from libs.events.log.roles import CONSUMER, READER, RELAY, role_of


@dataclass(frozen=True, slots=True)
class Logins:
    """The addresses of one service's database."""

    service: str
    url: str = field(repr=False)
    owner_url: str = field(repr=False)


async def make_databases(admin_url: str, password: Callable[[str], str]) -> dict[str, Logins]:
    """Make what is missing of every service's roles and database. `password` gives each role's.

    Raises Trouble where the server cannot be reached or the login may not make roles and databases.
    """
    try:
        connection = await asyncpg.connect(admin_url, timeout=10)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        why = str(error) or "no answer within 10 s"
        raise Trouble(
            f"PostgreSQL at {place_of(admin_url)} cannot be used ({why}): see that it runs and that DATABASE_URL is "
            "right, or leave that unset to have one started here."
        ) from error
    try:
        return {service: await make_database(connection, admin_url, service, password) for service in SERVICES}
    except asyncpg.InsufficientPrivilegeError as error:
        raise Trouble(
            f"The login of DATABASE_URL at {place_of(admin_url)} may not make roles and databases ({error}): "
            "give one that has CREATEROLE and CREATEDB."
        ) from error
    finally:
        await connection.close()


async def make_database(
    connection: asyncpg.Connection,
    admin_url: str,
    service: str,
    password: Callable[[str], str],
    *,
    database: str | None = None,
    template: str | None = None,
) -> Logins:
    """One service's roles and a database (named after the service, unless `database` says otherwise)."""
    owner, name = f"{service}_owner", database or service
    for role in (owner, service):
        known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
        verb = "ALTER" if known else "CREATE"
        await connection.execute(f"{verb} ROLE {_name(role)} LOGIN PASSWORD {_literal(password(role))}")
    for part in (READER, RELAY, CONSUMER):
        role = role_of(service, part)
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {_name(role)} NOLOGIN")
        await connection.execute(f"GRANT {_name(role)} TO {_name(service)} WITH INHERIT FALSE, SET TRUE")
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        await connection.execute(f"GRANT {_name(owner)} TO CURRENT_USER")
        of = f" TEMPLATE {_name(template)}" if template else ""
        await connection.execute(f"CREATE DATABASE {_name(name)} OWNER {_name(owner)}{of}")
    await connection.execute(f"REVOKE ALL ON DATABASE {_name(name)} FROM PUBLIC")
    await connection.execute(f"GRANT CONNECT ON DATABASE {_name(name)} TO {_name(service)}")
    return Logins(
        service=service,
        url=_url(admin_url, service, password(service), name),
        owner_url=_url(admin_url, owner, password(owner), name),
    )


async def migrate(logins: Logins) -> None:
    """Bring a service's schema up to date, as its owner. Raises Trouble with what the migration said."""
    from libs.service import migrate as migration  # alembic takes a second to load: meanwhile servers start

    try:
        await migration.migrate(logins.service, logins.owner_url)
    except migration.Trouble as trouble:
        raise Trouble(f"{logins.service}: {trouble}") from trouble


async def migrate_all(databases: dict[str, Logins]) -> None:
    """Migrate every service's database, one after the other. Raises Trouble."""
    for logins in databases.values():
        await migrate(logins)


def _url(admin_url: str, role: str, password: str, database: str) -> str:
    parts = urlsplit(admin_url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        (parts.scheme, f"{quote(role)}:{quote(password)}@{place}", f"/{quote(database)}", parts.query, "")
    )


def place_of(url: str) -> str:
    """Host and port alone: an address holds a password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
