"""The roles of a service's database, and how a service logs in.

A service has one login, which is the append-only writer. The other parts it plays are roles that cannot log in; the
login may put one on, and has none of their rights until it does. A connection plays one part for all of its life: the
role is given as it is made, so that it costs no round trip.

Invariant: a password can be changed while the service runs. The address is read anew for each new connection; where it
is refused, the one that worked last is tried, for of file and role one is always changed before the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import unquote, urlsplit

import asyncpg

Part: TypeAlias = Literal["writer", "reader", "relay", "consumer"]
WRITER: Part = "writer"
"""Decides: reads state under the caller's scope, appends."""
READER: Part = "reader"
"""Answers callers: reads under their scope, writes nothing."""
RELAY: Part = "relay"
"""Publishes: reads events, remembers how far."""
CONSUMER: Part = "consumer"
"""Applies what others have said: shared readers, read models, and what no caller asked for."""
PARTS: tuple[Part, ...] = get_args(Part)

POLICIES: Mapping[str, tuple[Part, ...]] = {
    "scoped": (WRITER, READER),
    "commanded": (WRITER,),
    "whole": (RELAY, CONSUMER),
}
"""To which parts a policy of this name applies, on whatever table: who answers and decides for callers sees what is in
their scope, and what a command needs besides; who carries and applies what was said sees all."""
SECURED = """
SELECT n.nspname, c.relname,
       (SELECT array_agg(p.polname::text || ' ' || (
            SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE oid = ANY (p.polroles)
        )) FROM pg_policy AS p WHERE p.polrelid = c.oid) AS bound,
       (SELECT array_agg(p.polname::text) FROM pg_policy AS p WHERE p.polrelid = c.oid) AS named
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relrowsecurity AND c.relkind = 'r' AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
"""
"""The tables with row-level security, and to whom their policies apply."""

Address: TypeAlias = str | Callable[[], str]

_REFUSED = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)


def role_of(service_role: str, part: Part) -> str:
    """The name of the role that plays a part: `intake`, `intake_reader`, …"""
    return service_role if part == WRITER else f"{service_role}_{part}"


def policies(service_role: str, secured: Iterable[Any]) -> Iterator[str]:
    """The statements, as the owner, after which the policies of these tables apply to whom they should. None where they
    do: a statement would lock the table."""
    for schema, table, bound, named in secured:
        for policy, parts in POLICIES.items():
            roles = sorted(role_of(service_role, part) for part in parts)
            to = ", ".join(f'"{role}"' for role in roles)
            on = f'{policy} ON "{schema}"."{table}"'
            if policy not in (named or ()):
                if policy == "whole":
                    yield f"CREATE POLICY {on} TO {to} USING (true) WITH CHECK (true)"
            elif " ".join((policy, *roles)) not in (bound or ()):
                yield f"ALTER POLICY {on} TO {to}"


class Login:
    """A service's address in its database, as it is at the moment."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._worked: str | None = None

    @property
    def dsn(self) -> str:
        """Raises OSError where it stands in a file that cannot be read."""
        return self._address if isinstance(self._address, str) else self._address()

    async def connect(self, part: Part, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
        """A connection that plays a part. Raises what asyncpg raises, and OSError."""
        try:
            dsn = self.dsn
            connection = await _connect(dsn, part, **options)
        except (*_REFUSED, OSError):
            if self._worked is None:
                raise
            return await _connect(self._worked, part, **options)
        self._worked = dsn
        return connection


async def _connect(
    dsn: str, part: Part, *, server_settings: dict[str, str], **options: Any
) -> asyncpg.Connection[asyncpg.Record]:
    if part != WRITER:
        login = urlsplit(dsn).username
        if not login:
            raise ValueError("the database's address must name the service's role")
        server_settings = {**server_settings, "role": role_of(unquote(login), part)}
    return await asyncpg.connect(dsn, server_settings=server_settings, **options)
