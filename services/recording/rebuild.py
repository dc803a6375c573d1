"""Rebuilding a read model: from the topics, beside the live one, which goes on being shown until then.

The running services fill the new generation. This runs as the owner of the tables, which alone may make and drop them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import asyncpg

from libs.events.log.projection import Projection, finish_rebuild, start_rebuild


class NoAddress(Exception):
    """MIGRATION_DATABASE_URL is not set: the database's address, with the owner's role."""


async def rebuild(
    projection: Projection,
    owner_url: str,
    *,
    role: str = "recording",
    resume: bool = False,
    progress: Callable[[int], None] = lambda behind: None,
) -> int:
    """Build a generation and show it; the number of it. `role` is the service's. `resume`: finish the one that is
    building, such as a migration begins.

    Raises LookupError where there is none to resume, asyncpg's errors and OSError where the database is not there.
    """
    owner = await asyncpg.connect(owner_url, server_settings={"application_name": "rebuild"})
    try:
        if not resume:
            await start_rebuild(owner, projection, role=role)
        return await finish_rebuild(owner, projection, role=role, progress=progress)
    finally:
        await owner.close()


def owner_address() -> str:
    """From MIGRATION_DATABASE_URL, or the file that MIGRATION_DATABASE_URL_FILE names. Raises NoAddress, OSError."""
    if path := os.environ.get("MIGRATION_DATABASE_URL_FILE"):
        return Path(path).read_text("utf-8").strip()
    try:
        return os.environ["MIGRATION_DATABASE_URL"]
    except KeyError:
        raise NoAddress(NoAddress.__doc__) from None
