"""Recording on the real PostgreSQL and the real Kafka: two copies of the service on one database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.local.kafka import Kafka
from deploy.local.topics import recreate_topics
from tests.conftest import FORCES, NewDatabase
from tests.integration.recording import (
    System,
    running_system,
)


@pytest_asyncio.fixture(scope="package")
async def system(
    database: NewDatabase, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    await recreate_topics(kafka.broker(), FORCES)
    secrets: Path = tmp_path_factory.mktemp("secrets")
    async with running_system(await database("recording"), kafka.broker(), secrets) as running:
        yield running
