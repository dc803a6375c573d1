"""The roles of a service's database, and how a service logs in.

A service has one login, which is the append-only writer. The other parts it plays are roles that cannot log in; the
login may put one on, and has none of their rights until it does. A connection plays one part for all of its life: the
role is given as it is made, so that it costs no round trip.

Invariant: a password can be changed while the service runs. The address is read anew for each new connection; where it
is refused, the one that worked last is tried, for of file and role one is always changed before the other.
"""

from __future__ import annotations

from collections.abc import Callable
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

Address: TypeAlias = str | Callable[[], str]

_REFUSED = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)


def role_of(service_role: str, part: Part) -> str:
    """The name of the role that plays a part: `intake`, `intake_reader`, …"""
    return service_role if part == WRITER else f"{service_role}_{part}"


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
