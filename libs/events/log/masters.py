"""Turning over the master keys: `python -m libs.events.log.keyring list | new | rotate | destroy | due`.

Invariants
  * A key is rewrapped only as it stood when it was read: one that was destroyed, or rewrapped by somebody else, is left
    alone. The relay alone tells Kafka of it (`stream.resend`), and the copies of others follow from there.
  * A master is destroyed only when no row of any of the databases needs it.
  * Whoever changes the file holds its lock, and it is there whole before and after.

MASTER_KEYS_FILE names the file; MIGRATION_DATABASE_URL (or the file MIGRATION_DATABASE_URL_FILE names) the databases of
all services, as their owners, an address a line, its service's SOURCE before it where that is not `/<service>`.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

import asyncpg

from libs.events.log.keyring import LOOK_EVERY_S, Keyring, Master, UnusableMasters, new_master, read_masters

TURNOVER_DAYS = 30
"""So old a current master is due."""
BATCH = 500
PATIENCE_S = 60.0
"""How long `rotate` waits until the copies of others have followed."""

# In the order in which append() locks them.
_WRAPPED_OTHERWISE = """
SELECT subject, key FROM stream
WHERE subject > $1 AND key <> '' AND substr(key, 1, octet_length($2::bytea)) <> $2
ORDER BY subject LIMIT $3
"""
_REWRAP = """
WITH locked AS MATERIALIZED (
    SELECT s.subject, k.new
    FROM stream AS s JOIN unnest($1::text[], $2::bytea[], $3::bytea[]) AS k (subject, old, new)
         ON s.subject = k.subject AND s.key = k.old
    ORDER BY s.subject
    FOR NO KEY UPDATE OF s
)
UPDATE stream AS s SET key = l.new, resend = true FROM locked AS l WHERE s.subject = l.subject
"""
_NEEDED = """
SELECT what, convert_from(substr(key, 2, get_byte(key, 0)), 'UTF8') AS master, count(*) AS rows
FROM (SELECT 'streams' AS what, key FROM stream WHERE key <> '' UNION ALL SELECT 'copies', key FROM key_copy) AS keys
GROUP BY what, master
"""


_UNSENT = "SELECT count(*) FROM stream WHERE resend"  # index stream_to_resend


class Trouble(Exception):
    """Why it was not done: a sentence for the person who asked."""


class Place(NamedTuple):
    """A service's database."""

    source: str
    url: str

    def __repr__(self) -> str:
        return f"Place({self.source!r})"


Owners: TypeAlias = "dict[str, asyncpg.Connection[asyncpg.Record]]"
"""A connection to each service's database, by its source."""
Needed: TypeAlias = dict[str, Counter[str]]
"""By master's id: how many rows need it, by where they are (`/intake streams`)."""


# The file ------------------------------------------------------------------------------------------------------------


@contextmanager
def changing(path: Path) -> Iterator[list[Master]]:
    """The masters of the file, to be changed in place. What was there before is overwritten. Raises UnusableMasters."""
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        masters = read_masters(path.read_text("utf-8")) if path.exists() else []
        before = list(masters)
        yield masters
        if masters != before:
            _write(path, "".join(master.line() for master in masters))


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if not path.exists():
        draft.replace(path)
        return
    with path.open("r+b") as old:
        size = os.fstat(old.fileno()).st_size
        draft.replace(path)
        old.write(os.urandom(size))
        old.flush()
        os.fsync(old.fileno())


# The databases -------------------------------------------------------------------------------------------------------


async def rewrap(owner: asyncpg.Connection[asyncpg.Record], keyring: Keyring) -> int:
    """Wrap every key of the database's streams by the current master; how many there were to wrap."""
    done, after = 0, ""
    prefix = bytes([len(keyring.current)]) + keyring.current.encode()
    while rows := await owner.fetch(_WRAPPED_OTHERWISE, after, prefix, BATCH):
        after = rows[-1]["subject"]
        changes = [(row["subject"], row["key"], keyring.rewrapped(row["key"], subject=row["subject"])) for row in rows]
        made = [change for change in changes if change[2] is not None]
        await owner.execute(_REWRAP, [c[0] for c in made], [c[1] for c in made], [c[2] for c in made])
        done += len(made)
    return done


async def needed(owner: asyncpg.Connection[asyncpg.Record], source: str) -> Needed:
    """Which masters the database's rows need."""
    found: Needed = {}
    for row in await owner.fetch(_NEEDED):
        found.setdefault(row["master"], Counter())[f"{source} {row['what']}"] += row["rows"]
    return found


async def needed_anywhere(owners: Owners) -> Needed:
    found: Needed = {}
    for source, owner in owners.items():
        for master, where in (await needed(owner, source)).items():
            found.setdefault(master, Counter()).update(where)
    return found


async def unsent(owners: Owners) -> int:
    """How many keys Kafka has not got as they stand now."""
    return sum([await owner.fetchval(_UNSENT) for owner in owners.values()])


@asynccontextmanager
async def connected(places: Sequence[Place]) -> AsyncIterator[Owners]:
    """A connection to each, by its source."""
    async with AsyncExitStack() as stack:
        owners = {}
        for place in places:
            try:
                owner = await asyncpg.connect(place.url, timeout=5, server_settings={"application_name": "keyring"})
            except (OSError, TimeoutError, asyncpg.PostgresError, ValueError):
                raise Trouble(f"The database of {place.source} cannot be reached at the address given.") from None
            stack.push_async_callback(owner.close)
            owners[place.source] = owner
        yield owners


# The commands --------------------------------------------------------------------------------------------------------


async def rotate(path: Path, places: Sequence[Place], say: Callable[[str], None], *, to: str | None = None) -> str:
    """Make another master current, and wrap all keys by it, while the services run; the current one's id.

    Raises Trouble where rows are left that need another one, because a copy of a service is behind: do it again.
    """
    async with connected(places) as owners:
        with changing(path) as masters:
            chosen = _taken(masters, to) if to else new_master()
            masters.append(chosen)
        say(f"{chosen.id} is the current master key.")
        until = time.monotonic() + PATIENCE_S
        while True:
            # Until then a service may wrap by the one before.
            await asyncio.sleep(2 * LOOK_EVERY_S)
            for source, owner in owners.items():
                if count := await rewrap(owner, Keyring(source, lambda: path.read_text("utf-8"))):
                    say(f"{count} keys of {source} were wrapped anew.")
            left = await needed_anywhere(owners)
            left.pop(chosen.id, None)
            if not left and not await unsent(owners):
                say("No row needs another master key.")
                return chosen.id
            if time.monotonic() > until:
                behind = _told(left) or "keys to be sent to Kafka"
                raise Trouble(f"{behind} are behind: see that services and Kafka run, then `rotate {chosen.id}`.")


async def destroy(path: Path, places: Sequence[Place], name: str) -> None:
    """Remove a master from the file. Raises Trouble where it is the current one, not there, or needed."""
    async with connected(places) as owners:
        with changing(path) as masters:
            if masters and masters[-1].id == name:
                raise Trouble(f"{name} is the current master key: rotate first.")
            _taken(masters, name)
            if name in (left := await needed_anywhere(owners)):
                raise Trouble(f"{_told({name: left[name]})} need {name}: rotate first.")
            if count := await unsent(owners):
                raise Trouble(f"{count} keys have not been sent to Kafka as they stand now: wait, or see why not.")


def _taken(masters: list[Master], name: str) -> Master:
    for master in masters:
        if master.id == name:
            masters.remove(master)
            return master
    raise Trouble(f"There is no master key {name}: see `list`.")


def _told(left: Needed) -> str:
    total: Counter[str] = Counter()
    for where in left.values():
        total.update(where)
    return ", ".join(f"{count} of {where}" for where, count in sorted(total.items()))


async def listed(masters: Sequence[Master], places: Sequence[Place]) -> list[str]:
    """A sentence a master, the current one last; then those that are needed and not there."""
    async with connected(places) as owners:
        rows = await needed_anywhere(owners)
    said = []
    for master in masters:
        age = "" if master.made_at is None else f", {(datetime.now(UTC) - master.made_at).days} days old"
        current = ", current" if master is masters[-1] else ""
        where = f"needed by {_told({master.id: rows[master.id]})}" if master.id in rows else "needed by nothing"
        said.append(f"{master.id}{current}{age}: {where}" + ("" if places else " that was asked"))
    gone = rows.keys() - {master.id for master in masters}
    return said + [f"{name} IS NOT THERE: needed by {_told({name: rows[name]})}" for name in sorted(gone)]


def is_due(path: Path) -> bool:
    """Whether the current master is so old that it should be turned over, or nobody knows how old it is."""
    made_at = read_masters(path.read_text("utf-8"))[-1].made_at
    return made_at is None or (datetime.now(UTC) - made_at).days >= TURNOVER_DAYS


def places_from(text: str) -> list[Place]:
    """The databases, a line each. Raises Trouble."""
    places = []
    for line in filter(None, map(str.strip, text.splitlines())):
        source, _, url = line.rpartition(" ")
        user = unquote(urlsplit(url).username or "")
        source = source.strip() or f"/{user.removesuffix('_owner')}"
        if not user or not source.startswith("/"):
            raise Trouble("MIGRATION_DATABASE_URL: each line is an address of PostgreSQL, a source before it or not.")
        places.append(Place(source, url))
    return places


def _places() -> list[Place]:
    named = os.environ.get("MIGRATION_DATABASE_URL_FILE")
    text = Path(named).read_text("utf-8") if named else os.environ.get("MIGRATION_DATABASE_URL", "")
    return places_from(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.events.log.keyring", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the master keys, and how many rows need each")
    commands.add_parser("new", help="make one, not current where there is one: to be carried to every service first")
    rotating = commands.add_parser("rotate", help="make another one current, and wrap all keys by it")
    rotating.add_argument("to", nargs="?", metavar="ID", help="this one; a new one if left out")
    commands.add_parser("destroy", help="remove one that no row needs").add_argument("id", metavar="ID")
    commands.add_parser("due", help=f"exit code 1 where the current one is {TURNOVER_DAYS} days old")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except (Trouble, UnusableMasters) as trouble:
        print(trouble, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'a file'} cannot be used: {error.strerror or 'no answer'}.", file=sys.stderr)
    except asyncpg.PostgresError as error:
        print(f"PostgreSQL refused: {type(error).__name__}.", file=sys.stderr)
    return 1


def _run(given: argparse.Namespace) -> int:
    named = os.environ.get("MASTER_KEYS_FILE")
    if not named:
        raise Trouble("MASTER_KEYS_FILE is not set: the file in which the master keys stand.")
    path = Path(named)
    match given.command:
        case "new":
            with changing(path) as masters:
                made = new_master()
                masters.insert(max(len(masters) - 1, 0), made)
            print(made.id)
        case "list":
            print("\n".join(asyncio.run(listed(read_masters(path.read_text("utf-8")), _places()))))
        case "due":
            due = is_due(path)
            print("due: rotate" if due else "not due")
            return int(due)
        case "rotate" | "destroy":
            places = _places()
            if not places:
                raise Trouble(
                    "MIGRATION_DATABASE_URL is not set: the services' databases, as their owners, a line each."
                )
            if given.command == "rotate":
                asyncio.run(rotate(path, places, print, to=given.to))
            else:
                asyncio.run(destroy(path, places, given.id))
                print(f"{given.id} is destroyed.")
    return 0
