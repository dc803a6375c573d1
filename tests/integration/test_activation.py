"""Activation, on the real PostgreSQL and Kafka: every copy follows at once, and no decision mixes two generations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.alliance.copy import AllianceCopy
from libs.events.log.broker import Broker
from libs.events.log.database import Database
from libs.events.log.relay import Relay
from services.directory.boundaries import Who
from services.directory.importing import File, Store, activate, import_file
from services.directory.known import known_forces
from services.directory.load import load
from services.directory.stored import Stored
from tests.conftest import NewDatabase
from tests.integration.logs import running, until
from tests.integration.test_boundaries import FIRST, THREE, geojson, moved
from tests.places import SHARED

COPIES = 3
TURN = 510_040.0
"""Between the borders of the two generations: each gives it to another force."""
OWNER = {"squares-1": "cambridgeshire", "squares-2": "bedfordshire"}
DATA = SHARED / "boundaries" / "pfa43_bgc.geojson"


async def until_used(copies: list[AllianceCopy], generation: str, patience_s: float = 10) -> None:
    async with asyncio.timeout(patience_s):
        while not all(copy.current is not None and copy.current.generation == generation for copy in copies):
            await asyncio.sleep(0.002)


def since_appended(store: Store) -> float:
    """Seconds since the last activation was made, just before it was appended."""
    in_force = store.stored.history.in_force
    assert in_force is not None
    return time.time() - in_force.since.timestamp()


async def test_every_copy_follows_an_activation_at_once_and_every_decision_is_one_generation_s(
    database: NewDatabase, empty_topics: Broker, tmp_path: Path, figures: Callable[[str], None]
) -> None:
    store = Store.of(await Database.connect((await database("directory")).url, source="/directory"), Stored())
    file = tmp_path / "file.geojson"
    file.write_bytes(geojson(moved(80)))
    await load(store.database, THREE, known_forces(), FIRST)
    relay = Relay(store.database.dsn, broker=empty_topics, source="/directory")
    copies = [AllianceCopy(name=f"copy-{number}", broker=empty_topics) for number in range(COPIES)]
    decided: dict[str, int] = {}
    stop = False

    async def decide() -> None:
        """As a router does: one picture, one decision, over and over."""
        while not stop:
            for copy in copies:
                alliance = copy.current
                assert alliance is not None
                assert alliance.atlas is not None
                generation = alliance.generation
                await asyncio.sleep(0)  # whatever comes meanwhile
                owner = alliance.atlas.locate_grid(TURN, 255_000).candidates[0].force
                assert owner == OWNER[generation or ""]
                decided[generation or ""] = decided.get(generation or "", 0) + 1
            await asyncio.sleep(0.001)

    try:
        async with running(relay.run(), *(copy.run() for copy in copies)):
            await asyncio.gather(*(asyncio.wait_for(copy.until_ready(), 20) for copy in copies))
            deciding = asyncio.create_task(decide())
            assert await import_file(store, File(str(file), "squares-2", "test", 20.0), Who())
            await until(lambda: all(copy.prepared == "squares-2" for copy in copies), patience_s=20)
            waits = []
            for generation in ("squares-2", "squares-1") * 3:
                await activate(store, generation, Who("test"), None, override=False)
                await until_used(copies, generation)
                waits.append(since_appended(store))
            stop = True
            await deciding
    finally:
        await store.database.close()
    assert set(decided) == set(OWNER)
    figures(
        f"activation to use in {COPIES} copies: {min(waits):.3f} to {max(waits):.3f} s over {len(waits)}; "
        f"{sum(decided.values())} decisions meanwhile"
    )


@pytest.mark.long
@pytest.mark.skipif(not DATA.exists(), reason="the boundaries of 20 m are not here")
async def test_the_20_m_boundaries_are_in_use_within_a_second_of_their_activation(
    database: NewDatabase, empty_topics: Broker, figures: Callable[[str], None]
) -> None:
    store = Store.of(await Database.connect((await database("directory")).url, source="/directory"), Stored())
    await load(store.database, THREE, known_forces(), FIRST)
    relay = Relay(store.database.dsn, broker=empty_topics, source="/directory")
    copies = [AllianceCopy(name=f"copy-{number}", broker=empty_topics) for number in range(COPIES)]
    waits = []
    try:
        async with running(relay.run(), *(copy.run() for copy in copies)):
            await asyncio.gather(*(asyncio.wait_for(copy.until_ready(), 20) for copy in copies))
            assert await import_file(store, File(str(DATA), "bgc", "test", 20.0), Who())
            began = time.monotonic()
            await until(lambda: all(copy.prepared == "bgc" for copy in copies), patience_s=120)
            prepared_s = time.monotonic() - began
            for generation in ("bgc", "squares-1") * 3:
                await activate(store, generation, Who("test"), "a test", override=True)
                await until_used(copies, generation)
                waits.append(since_appended(store))
    finally:
        await store.database.close()
    figures(
        f"20 m boundaries: ready in {COPIES} copies {prepared_s:.1f} s after their import, in use "
        f"{min(waits):.3f} to {max(waits):.3f} s after their activation"
    )
    assert sorted(waits)[len(waits) // 2] < 1.0
