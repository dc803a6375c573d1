"""Links to PostgreSQL that are cut without a word, as when its host loses power and another takes its address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from tests.conftest import NewDatabase
from tests.integration.logs import an_append, running


class Wire:
    """Carries connections to a server, until they are cut: then nothing comes through, and nobody is told."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._links: list[asyncio.Event] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Those that there are; new ones work."""
        for link in self._links:
            link.set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[int]:
        """The port to connect to."""
        listening = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        try:
            yield listening.sockets[0].getsockname()[1]
        finally:
            listening.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._server)
        link = asyncio.Event()
        self._links.append(link)
        for source, sink in ((reader, back), (there, writer)):
            self._tasks.add(asyncio.create_task(self._pass_on(source, sink, link)))

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: asyncio.Event) -> None:
        while data := await source.read(65_536):
            if not link.is_set():
                sink.write(data)
        if not link.is_set():
            sink.close()


async def seconds_until(works: Callable[[], Awaitable[object]]) -> float:
    clock = asyncio.get_running_loop()
    began = clock.time()
    while clock.time() - began < 30:
        try:
            await works()
        except Unavailable:
            continue
        break
    return clock.time() - began


async def test_after_its_links_were_cut_without_a_word_a_service_works_again_in_seconds(database: NewDatabase) -> None:
    """Not after finding out one connection after the other, ten and more seconds for each."""
    address = (await database("intake")).url
    parts = urlsplit(address)
    assert parts.hostname
    assert parts.port
    wire = Wire(parts.hostname, parts.port)
    async with wire.laid() as port:
        db = await Database.connect(address.replace(f":{parts.port}/", f":{port}/"), source="/intake")
        appender = Appender(db)
        async with running(appender.run()):
            await asyncio.gather(*(appender.append(an_append()) for _ in range(100)))
            await asyncio.gather(*(db.fetchval("SELECT pg_sleep(0.1)") for _ in range(5)))
            wire.cut()
            assert await seconds_until(lambda: appender.append(an_append())) < 9
            await asyncio.gather(*(db.fetchval("SELECT pg_sleep(0.1)") for _ in range(5)))
            wire.cut()
            assert await seconds_until(lambda: db.fetchval("SELECT 1")) < 9
        await db.close()
