"""What the directory's own event store holds, and a picture of it that follows.

Invariant: the picture comes from this service's database alone. So the directory answers while Kafka is away, and what
another copy or the `load` command appended is seen a quarter of a second later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.alliance.generations import read_atlas, read_overlay
from libs.events.envelope import Malformed, UnknownType
from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from libs.events.log.store import load_many, read_after
from libs.events.types import Fact
from libs.events.types.directory import (
    AreaChunkPublished,
    BoundariesActivated,
    NeighbourhoodsActivated,
    OverlayActivated,
)
from libs.places import Atlas, decode_area
from libs.places.neighbourhoods import Neighbourhood, Neighbourhoods
from libs.places.overlays import Overlay
from services.directory import boundaries as generations
from services.directory.boundaries import chunk_subject
from services.directory.generation import InForce
from services.directory.told import Told

log = structlog.get_logger(__name__)

POLL_S = 0.25
BATCH = 100
"""Events a read: a hundred chunks of geometry are some 40 MB."""


@dataclass
class Stored:
    """The store, folded: the alliance without its atlas, and the version and last change of every stream."""

    alliance: Alliance = NOTHING_KNOWN
    versions: dict[str, int] = field(default_factory=dict)
    changed: dict[str, datetime] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    position: int = 0

    async def catch_up(self, database: Database) -> bool:
        """Take in what was appended since. True where there was anything. Raises Unavailable."""
        before = self.position
        while events := await read_after(database, self.position, BATCH):
            for position, event in events:
                try:
                    fact: Fact | None = event.fact
                except UnknownType:  # a newer copy of this service wrote it
                    fact = None
                except Malformed as error:
                    log.error("own_event_malformed", event_id=str(event.id), type=event.type, error=str(error))
                    fact = None
                self.alliance = evolve(self.alliance, fact)
                self.told.add(event.time, event.subject, event.version, fact)
                self.versions[event.subject] = event.version
                self.changed[event.subject] = event.time
                self.position = position
        return self.position > before


async def stored_atlas(database: Database, boundaries: BoundariesActivated) -> Atlas:
    """The atlas of a stored generation. Raises KeyError for a piece that is not stored, ValueError for one that cannot
    be read, Unavailable."""
    chunks = await stored_chunks(database, [area.hashes for area in boundaries.areas])
    return await asyncio.to_thread(read_atlas, boundaries, chunks)


async def stored_chunks(database: Database, hashes: Iterable[Sequence[str]]) -> dict[str, bytes]:
    chunks: dict[str, bytes] = {}
    for some in hashes:  # not all at once: a read must not last long
        streams = await load_many(database, [chunk_subject(sha256) for sha256 in some])
        facts = (events[0].fact for events in streams.values() if events)
        chunks |= {fact.sha256: fact.content for fact in facts if isinstance(fact, AreaChunkPublished)}
    return chunks


def _by_the_hundred(activated: NeighbourhoodsActivated) -> Iterator[list[str]]:
    hashes = [sha256 for area in activated.areas for sha256 in area.hashes]
    for at in range(0, len(hashes), 100):
        yield hashes[at : at + 100]


def read_neighbourhoods(activated: NeighbourhoodsActivated, chunks: Mapping[str, bytes]) -> Neighbourhoods:
    """Raises KeyError for a chunk that is not there, ValueError for areas that cannot be read."""
    return Neighbourhoods(
        activated.generation,
        {
            Neighbourhood(area.id, area.name): decode_area([chunks[sha256] for sha256 in area.hashes])
            for area in activated.areas
        },
    )


class Picture:
    """The alliance as this service knows it now. Run `run()`; read `current` for each answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stored = Stored()
        self._in_use: BoundariesActivated | None = None
        self._unreadable: BoundariesActivated | None = None
        self._current = NOTHING_KNOWN
        self._neighbourhoods: dict[str, Neighbourhoods] = {}
        self._settled: list[NeighbourhoodsActivated] = []
        self.overlays: dict[str, tuple[OverlayActivated, Overlay | None]] = {}
        """Those in use, by id; None: it cannot be read."""
        self.in_force: InForce | None = None
        """The generation in use; None until there is one."""

    @property
    def changed(self) -> dict[str, datetime]:
        """When each entity was last said anew, by subject."""
        return self._stored.changed

    @property
    def told(self) -> Told:
        return self._stored.told

    @property
    def current(self) -> Alliance:
        """`defined` is None until an alliance was loaded, `atlas` until boundaries were."""
        return self._current

    def neighbourhoods(self, force: str | None) -> Neighbourhoods | None:
        """The force's own, where some were loaded."""
        return None if force is None else self._neighbourhoods.get(force)

    def trouble(self) -> str | None:
        """For readiness: what is missing to answer."""
        if self._current.defined is None:
            return "no alliance is known: it has not been loaded, or the database has not answered yet"
        if self._unreadable is not None and self._unreadable == self._current.boundaries:
            return f"the boundaries {self._unreadable.generation} cannot be read"
        return "no boundaries are in use yet" if self._current.atlas is None else None

    async def run(self) -> None:
        """Follow the store until cancelled; while the database is away, the picture stays as it is."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.warning("store_not_followed", error=str(error))
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Take in what is new. Raises Unavailable."""
        if await self._stored.catch_up(self._database):
            self._current = replace(self._stored.alliance, atlas=self._current.atlas)
        boundaries = self._current.boundaries
        if boundaries is not None and boundaries not in (self._in_use, self._unreadable):
            await self._take_over(boundaries)
        for activated in self._current.neighbourhoods.values():
            if activated not in self._settled:
                await self._take_over_neighbourhoods(activated)
        for overlay in self._current.overlays.values():
            if overlay.id not in self.overlays or self.overlays[overlay.id][0] != overlay:
                await self._take_over_overlay(overlay)
        for withdrawn in self.overlays.keys() - self._current.overlays.keys():
            del self.overlays[withdrawn]

    async def _take_over_overlay(self, overlay: OverlayActivated) -> None:
        chunks = await stored_chunks(self._database, [overlay.hashes])
        try:
            self.overlays[overlay.id] = (overlay, await asyncio.to_thread(read_overlay, overlay, chunks))
        except (KeyError, ValueError) as error:
            log.error("overlay_unreadable", overlay=overlay.id, error=repr(error))
            self.overlays[overlay.id] = (overlay, None)

    async def _take_over_neighbourhoods(self, activated: NeighbourhoodsActivated) -> None:
        chunks = await stored_chunks(self._database, _by_the_hundred(activated))
        self._settled = [other for other in self._settled if other.force != activated.force] + [activated]
        try:
            self._neighbourhoods[activated.force] = await asyncio.to_thread(read_neighbourhoods, activated, chunks)
        except (KeyError, ValueError) as error:  # those of before go on
            log.error("neighbourhoods_unreadable", force=activated.force, error=repr(error))

    async def _take_over(self, boundaries: BoundariesActivated) -> None:
        try:
            chunks = await stored_chunks(self._database, [area.hashes for area in boundaries.areas])
            atlas = await asyncio.to_thread(read_atlas, boundaries, chunks)
        except (KeyError, ValueError) as error:
            log.error("boundaries_unreadable", generation=boundaries.generation, error=repr(error))
            self._unreadable = boundaries
            return
        self._in_use = boundaries
        self.in_force = InForce(boundaries, atlas, chunks, self._stored.changed[generations.SUBJECT])
        self._current = replace(self._current, atlas=atlas)
        log.info("boundaries_in_use", generation=boundaries.generation)
