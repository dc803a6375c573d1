"""The router on the real PostgreSQL and Kafka, in two copies."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from deploy.local.kafka import Kafka
from deploy.local.topics import recreate_topics
from tests.conftest import FORCES, NewDatabase
from tests.integration.router import World, world


@pytest_asyncio.fixture(scope="package")
async def routers(kafka: Kafka, database: NewDatabase) -> AsyncIterator[World]:
    await recreate_topics(kafka.broker(), FORCES)
    with tempfile.TemporaryDirectory(prefix="hueandcry-router-") as folder:
        async with world((await database("router")).url, kafka.broker(), Path(folder)) as started:
            yield started
            for copy in started.copies:  # nobody waited in a circle, and nothing broke
                log = copy.log.read_text()
                assert "boundaries_in_use" in log
                for word in ("Deadlock", "unhandled error", "+447700900123"):
                    assert word not in log


@pytest_asyncio.fixture(autouse=True)
async def _empty_queues(routers: World) -> None:
    """Contacts that another test left waiting are nobody's here."""
    await routers.database.execute("DELETE FROM queue_entry")
