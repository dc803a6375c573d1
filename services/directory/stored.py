"""What the directory's own event store holds, and a picture of it that follows.

Invariant: the picture comes from this service's database alone. So the directory answers while Kafka is away, and what
another copy or the `load` command appended is seen a quarter of a second later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.alliance.generations import Drawing, Generation, read_overlay
from libs.events.envelope import Malformed, UnknownType
from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from libs.events.log.store import read_after
from libs.events.types import Fact
from libs.events.types.directory import NeighbourhoodsActivated, OverlayActivated
from libs.places import decode_area
from libs.places.neighbourhoods import Neighbourhood, Neighbourhoods
from libs.places.overlays import Overlay
from services.directory.generation import InForce, Read
from services.directory.geometry import Past, read_generation, stored_chunks
from services.directory.history import Activated, History
from services.directory.told import Told

log = structlog.get_logger(__name__)

POLL_S = 0.25
BATCH = 100
"""Events a read: a hundred chunks of geometry are some 40 MB."""


@dataclass
class Stored:
    """The store, folded: the alliance without its atlas, the history of its boundaries, and the version and last change
    of every stream."""

    alliance: Alliance = NOTHING_KNOWN
    history: History = field(default_factory=History)
    versions: dict[str, int] = field(default_factory=dict)
    changed: dict[str, datetime] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    position: int = 0
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def catch_up(self, database: Database) -> None:
        """Take in what was appended since; called twice at once, each event once. Raises Unavailable."""
        async with self._one:
            await self._catch_up(database)

    async def _catch_up(self, database: Database) -> None:
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
                self.history = self.history.after(fact, event.time)
                self.versions[event.subject] = event.version
                self.changed[event.subject] = event.time
                self.position = position


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
    """The alliance as this service knows it now, and its boundaries as they were. Run `run()`; read `current` for each
    answer."""

    def __init__(self, database: Database) -> None:
        self.stored = Stored()
        self.overlays: dict[str, tuple[OverlayActivated, Overlay | None]] = {}
        """Those in use, by id; None: it cannot be read."""
        self.in_force: InForce | None = None
        """The generation in use; None until there is one."""
        self._database = database
        self._position = 0
        self._current = NOTHING_KNOWN
        self._ready: Read | None = None
        """What may be activated next, read ahead; or what was in force before."""
        self._unreadable: set[Drawing] = set()
        self._past = Past(database)
        self._neighbourhoods: dict[str, Neighbourhoods] = {}
        self._settled: list[NeighbourhoodsActivated] = []

    @property
    def changed(self) -> dict[str, datetime]:
        """When each entity was last said anew, by subject."""
        return self.stored.changed

    @property
    def history(self) -> History:
        """Of the boundaries."""
        return self.stored.history

    @property
    def told(self) -> Told:
        return self.stored.told

    @property
    def current(self) -> Alliance:
        """`defined` is None until an alliance was loaded, `atlas` until boundaries were."""
        return self._current

    def neighbourhoods(self, force: str | None) -> Neighbourhoods | None:
        """The force's own, where some were loaded."""
        return None if force is None else self._neighbourhoods.get(force)

    async def in_force_at(self, moment: datetime) -> InForce | None:
        """The boundaries that were in force then; None: before the first. Those of the past are read when somebody
        asks. Raises Unavailable; KeyError or ValueError for what cannot be read."""
        activated = self.history.at(moment)
        if activated is None:
            return None
        drawing = Drawing.of(activated.fact)
        read = self._known(drawing) or await self._past.read(drawing)
        return InForce(activated.fact, read.atlas, read.chunks, activated.since)

    def _known(self, drawing: Drawing) -> Read | None:
        """As it was read already: it is in use, or may be next."""
        known = [self._ready, self.in_force.read if self.in_force is not None else None]
        return next((one for one in known if one is not None and one.drawing == drawing), None)

    def trouble(self) -> str | None:
        """For readiness: what is missing to answer."""
        if self._current.defined is None:
            return "no alliance is known: it has not been loaded, or the database has not answered yet"
        announced = self._current.boundaries
        if announced is not None and Drawing.of(announced) in self._unreadable:
            return f"the boundaries {announced.generation} cannot be read"
        return "no boundaries are in use yet" if self._current.atlas is None else None

    async def run(self) -> None:
        """Follow the store until cancelled; while the database is away, the picture stays as it is."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(self.look))
            tasks.create_task(self._again(self.get_ready))

    async def _again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except Unavailable as error:
                log.warning("store_not_followed", error=str(error))
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Take in what is new. Raises Unavailable."""
        await self.stored.catch_up(self._database)
        if self.stored.position > self._position:
            self._position = self.stored.position
            self._current = replace(self.stored.alliance, atlas=self._current.atlas)
        if (activated := self.history.in_force) is not None:
            await self._take_over(activated)
        for areas in self._current.neighbourhoods.values():
            if areas not in self._settled:
                await self._take_over_neighbourhoods(areas)
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

    async def _take_over(self, activated: Activated) -> None:
        before = self.in_force
        if before is not None and before.boundaries == activated.fact and before.since == activated.since:
            return
        read = self._known(Drawing.of(activated.fact)) or await self._read(activated.fact)
        if read is None:
            return
        if before is not None and before.atlas is not read.atlas:
            self._ready = before.read
        self.in_force = InForce(activated.fact, read.atlas, read.chunks, activated.since)
        self._current = replace(self._current, atlas=read.atlas)
        log.info("boundaries_in_use", generation=read.drawing.generation)

    async def get_ready(self) -> None:
        """Read ahead what may be activated next, so that its activation is a switch. Raises Unavailable."""
        coming = self.history.next
        if self.in_force is None or coming is None:
            return
        if self._known(Drawing.of(coming)) is None:
            read = await self._read(coming)
            if read is not None and self.history.next == coming:
                self._ready = read

    async def _read(self, boundaries: Generation) -> Read | None:
        drawing = Drawing.of(boundaries)
        if drawing in self._unreadable:
            return None
        try:
            return await read_generation(self._database, drawing)
        except (KeyError, ValueError) as error:
            log.error("boundaries_unreadable", generation=boundaries.generation, error=repr(error))
            self._unreadable.add(drawing)
            return None
