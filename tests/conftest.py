"""The real PostgreSQL and the real Kafka, once a session, on free ports, by the code that `make run` uses.

Both always start: no test is skipped for want of them. What a test writes is its own: it asks for a database of its
own, and for empty topics.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
import pytest_asyncio
from xdist.scheduler import LoadFileScheduling

from deploy.local.databases import Logins, make_database, migrate
from deploy.local.kafka import Kafka
from deploy.local.kafka_access import furnish
from deploy.local.postgres import Postgres
from deploy.local.process import free_port
from deploy.local.topics import create_topics, recreate_topics
from libs.events.log.broker import Broker
from libs.events.log.keyring import new_master
from tests.capturing import log_plainly

HERE = Path(__file__).parent
FORCES = ("bedfordshire", "cambridgeshire", "hertfordshire")
"""Whose topics a test finds."""
PASSWORD = "only-for-tests"
MEMORY = Path("/dev/shm")
PLENTY = 8 * 1024**3
"""Bytes: more than three times what a whole run keeps there."""
MASTERS = new_master().line()
"""The master keys of every service that this process starts."""


def kafka_settings(broker: Broker, service: str) -> dict[str, str]:
    """What a service's settings say of Kafka: it comes by its own name, and may do what that name may."""
    return {"kafka_bootstrap_servers": broker.servers, "kafka_username": service, "kafka_password": PASSWORD}


NewDatabase = Callable[[str], Awaitable[Logins]]
DatabaseUrl = Callable[[str], Awaitable[str]]


def pytest_configure() -> None:
    log_plainly()
    # httpx reads the certificates of all authorities anew for each client, which takes as long as twenty requests.
    httpx._transports.default.create_ssl_context = cache(httpx._transports.default.create_ssl_context)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long tests too")


class ByPackage(LoadFileScheduling):
    """A package with fixtures of its own is one worker's, and so is every other file: what a package starts is started
    once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = self.config.rootpath.joinpath(file).parent
        return str(folder) if folder != HERE and folder.joinpath("conftest.py").exists() else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByPackage:
    return ByPackage(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test marked `long` is run with `--long`; without it, its short version stands for it."""
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`figures(text)`: what a test has measured, told in the summary at the end."""

    def tell(text: str) -> None:
        request.node.user_properties.append(("figures", text))

    return tell


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = [
        text
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, text in report.user_properties
        if name == "figures"
    ]
    if told:
        terminalreporter.section("figures")
        for text in told:
            terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def parts_folder() -> Iterator[Path]:
    """For the data and logs of a test's own servers; other users may enter it (PostgreSQL does not run as root)."""
    with folder() as made:
        yield made


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """For those of the session's own. In memory, where there is plenty: each test's database is four hundred files, and
    a disk takes a minute to make and remove them all. (That data survive a crash is for servers that are killed.)"""
    with folder(MEMORY if has_plenty(MEMORY) else None) as made:
        yield made


@contextmanager
def folder(place: Path | None = None) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="hueandcry-tests-", dir=place))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def has_plenty(place: Path) -> bool:
    """Room, also in memory, and programs may be run from it (PostgreSQL's are copied where its user can reach them)."""
    if not place.is_dir() or os.statvfs(place).f_flag & os.ST_NOEXEC:
        return False
    return min(shutil.disk_usage(place).free, psutil.virtual_memory().available) > PLENTY


@pytest.fixture(scope="session")
def postgres(session_folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL server. `admin_url` is its superuser's address."""
    server = Postgres(session_folder / "postgres", free_port(), PASSWORD, session_folder / "postgres.log")
    server.start()
    yield server
    server.stop()
    server.forget()


@pytest.fixture(scope="session")
def kafka(session_folder: Path) -> Iterator[Kafka]:
    """A Kafka node with every principal and ACL, without topics. `broker()` is how its operator comes to it,
    `broker("intake")` how intake does."""
    broker = Kafka(session_folder / "kafka", free_port(), free_port(), session_folder / "kafka.log", lambda _: PASSWORD)
    broker.start()
    furnish(broker.broker(), FORCES, broker.password)
    yield broker
    broker.kill()  # which takes no time; its data go with the folder


@pytest_asyncio.fixture(scope="session")
async def topics(kafka: Kafka) -> Broker:
    """Kafka, as its operator, with every topic there (other tests write to them too)."""
    await create_topics(kafka.broker(), FORCES)
    return kafka.broker()


@pytest_asyncio.fixture
async def empty_topics(kafka: Kafka) -> Broker:
    """Kafka, as its operator, with every topic there and empty."""
    await recreate_topics(kafka.broker(), FORCES)
    return kafka.broker()


@pytest_asyncio.fixture(scope="session")
async def new_database(postgres: Postgres) -> NewDatabase:
    """`await new_database("intake")`: an empty database of that service's roles, of the caller's own."""

    async def make(service: str, template: str | None = None) -> Logins:
        name = f"{service}_{token_hex(4)}"
        connection = await asyncpg.connect(postgres.admin_url)
        try:
            return await make_database(
                connection, postgres.admin_url, service, lambda _role: PASSWORD, database=name, template=template
            )
        finally:
            await connection.close()

    return make


@pytest_asyncio.fixture(scope="session")
async def database(new_database: Callable[..., Awaitable[Logins]]) -> NewDatabase:
    """`await database("intake")`: a fresh, migrated database. `url` is the service's login, `owner_url` its owner's."""
    templates: dict[str, str] = {}

    async def make(service: str) -> Logins:
        if service not in templates:
            logins = await new_database(service)
            await migrate(logins)
            templates[service] = logins.owner_url.rpartition("/")[2]
        return await new_database(service, templates[service])

    return make


@pytest_asyncio.fixture(scope="session")
async def database_url(database: NewDatabase) -> DatabaseUrl:
    """`await database_url("intake")`: the service's address of a fresh, migrated database."""

    async def make(service: str) -> str:
        return (await database(service)).url

    return make
