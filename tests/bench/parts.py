"""What a benchmark runs against: the real PostgreSQL, Kafka and issuer on free ports, and services as processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import asyncpg
import psutil

from deploy.local.databases import Logins, make_database, migrate
from deploy.local.issuer import make_token
from deploy.local.kafka import Kafka
from deploy.local.kafka_access import furnish
from deploy.local.postgres import Postgres
from deploy.local.process import Child, free_port, spawn, wait_until
from deploy.local.topics import create_topics
from libs.events.log.broker import Broker
from tests.bench import facts

ROOT = Path(__file__).parents[2]
PASSWORD = "only-for-benchmarks"
FORCES = ("bedfordshire", "cambridgeshire", "hertfordshire")
SEGMENTS = 64
"""Of WAL, of 16 MiB each, that are there to be written to: as many as a server keeps (max_wal_size, 1 GB), and as are
used from one checkpoint to the end of the next, which takes nearly as long as the time between them."""

_first, *_rest = sorted(os.sched_getaffinity(0))
SERVICE_CORES = {_first}
OTHER_CORES = set(_rest) or SERVICE_CORES

_READY_SEGMENTS = """
SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' AND name > pg_walfile_name(pg_current_wal_lsn())
"""


@dataclass(frozen=True)
class Parts:
    folder: Path
    postgres: Postgres

    def database(self, name: str) -> Logins:
        """A fresh, migrated database with intake's tables and roles."""

        async def make() -> Logins:
            connection = await asyncpg.connect(self.postgres.admin_url)
            try:
                unique = f"{name}_{token_hex(3)}"
                logins = await make_database(
                    connection, self.postgres.admin_url, "intake", lambda _role: PASSWORD, database=unique
                )
            finally:
                await connection.close()
            await migrate(logins)
            return logins

        return asyncio.run(make())

    def empty_database(self, name: str) -> str:
        """The superuser's address of a database with nothing in it."""

        async def make() -> None:
            connection = await asyncpg.connect(self.postgres.admin_url)
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.close()

        asyncio.run(make())
        return self.postgres.admin_url.rpartition("/")[0] + f"/{name}"


@contextmanager
def postgres(settings: Mapping[str, str] | None = None) -> Iterator[Parts]:
    """PostgreSQL as `make run` has it, fsync on, as it is after a while: its WAL goes into segments that are there, and
    it has used all of its memory before. To make a new segment takes 40 ms or more, in which nothing is committed, as a
    fresh server does for every 16 MiB; and the kernel has to clear each page of memory that is used first."""
    folder = Path(tempfile.mkdtemp(prefix="hueandcry-bench-"))
    folder.chmod(0o711)
    kept = {"min_wal_size": "1GB", **(settings or {})}
    # A checkpoint on the way would have the first segments used again, and no more made.
    unlimited = {**kept, "max_wal_size": "8GB"}
    server = Postgres(folder / "postgres", free_port(), PASSWORD, folder / "postgres.log", unlimited)
    try:
        server.start()
        asyncio.run(_use_segments(server.admin_url))
        server.stop()
        server.settings = kept
        server.start()
        asyncio.run(_use_memory(server.admin_url))
        yield Parts(folder, server)
    finally:
        server.stop()
        server.forget()
        shutil.rmtree(folder, ignore_errors=True)


async def _use_segments(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    for _ in range(SEGMENTS):
        await connection.execute("SELECT pg_logical_emit_message(false, '', '')")
        await connection.execute("SELECT pg_switch_wal()")
    await connection.execute("CHECKPOINT")  # from now on they may be used again
    ready: int = await connection.fetchval(_READY_SEGMENTS)
    await connection.close()
    if ready < SEGMENTS - 1:  # the one that is written to is one of them
        raise RuntimeError(f"{ready} segments of WAL are ready to be written to; {SEGMENTS - 1} should be")


async def _use_memory(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    await connection.execute("CREATE UNLOGGED TABLE filling (bytes text STORAGE PLAIN)")
    pages: int = await connection.fetchval("SELECT setting::int FROM pg_settings WHERE name = 'shared_buffers'")
    await connection.execute(f"INSERT INTO filling SELECT repeat('x', 8000) FROM generate_series(1, {pages})")
    await connection.execute("DROP TABLE filling")
    await connection.close()


@contextmanager
def kafka(parts: Parts) -> Iterator[Broker]:
    """Kafka with every topic, principal and ACL; how intake comes to it."""
    broker = Kafka(parts.folder / "kafka", free_port(), free_port(), parts.folder / "kafka.log", lambda _: PASSWORD)
    try:
        broker.start()
        asyncio.run(create_topics(broker.broker(), FORCES))
        furnish(broker.broker(), FORCES, lambda _: PASSWORD)
        yield broker.broker("intake")
    finally:
        broker.stop()


@contextmanager
def apart() -> Iterator[None]:
    """While the block runs, a service has a core to itself: PostgreSQL, and all that is started in the block but
    services, run on the others.

    A database and a broker have machines of their own; here they would share a service's core as chance has it, and
    that of a service which has neither they would not. Linux wakes who gets a message on the core of whom it is from: a
    load generator and its service took turns on one for a tenth of a second and longer, with the other core idle.
    """
    keep_to(OTHER_CORES, os.getpid())
    try:
        yield
    finally:
        keep_to(SERVICE_CORES | OTHER_CORES, os.getpid())


def keep_to(cores: set[int], process: int) -> None:
    """This process, those it has started, and what they start from now on, run on these cores."""
    for one in (psutil.Process(process), *psutil.Process(process).children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            for thread in one.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


def intake_settings(url: str, broker: Broker, issuer_url: str) -> dict[str, str]:
    """What intake is told, but its port."""
    return {
        "DATABASE_URL": url,
        "KAFKA_BOOTSTRAP_SERVERS": broker.servers,
        "KAFKA_USERNAME": broker.username,
        "KAFKA_PASSWORD": broker.password,
        "OIDC_ISSUER": issuer_url,
        "MASTER_KEYS": facts.MASTERS,
        "SOURCE": "/intake",
        "HOST": "127.0.0.1",
    }


@contextmanager
def issuer(parts: Parts) -> Iterator[tuple[str, str]]:
    """The local issuer: its address, and a gateway's token."""
    port, secrets = free_port(), parts.folder / "secrets"
    url = f"http://127.0.0.1:{port}"
    with process(parts, "issuer", ["deploy.local.issuer", "127.0.0.1", str(port), str(secrets)], {}, url + "/healthz"):
        yield url, make_token(secrets, url, roles=["gateway"], forces=[], subject="bench-gateway")


@contextmanager
def process(
    parts: Parts, name: str, module: list[str], environment: Mapping[str, str], ready: str | Callable[[], bool]
) -> Iterator[Child]:
    """A Python module as a process; ready when its address answers at all well."""
    child = spawn(
        name,
        [sys.executable, "-m", *module],
        log=parts.folder / f"{name}.log",
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    try:
        wait_until((lambda: _answers(ready)) if isinstance(ready, str) else ready, child, 60)
        yield child
    finally:
        child.stop(12)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3):
            return True
    except (urllib.error.URLError, OSError):
        return False
