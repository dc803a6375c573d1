"""A process's own copy of the directory, followed on Kafka.

Invariants
  * Nobody decides from half a picture: `current` is None until the directory's topic has been read to its end once.
  * The areas in use are always one whole generation. A new one is read in a thread, and taken over in one step.
  * What may be activated next is got ready ahead: a generation that was imported, or else the one that was in force
    before. One at a time is kept beside the one in use, so that its activation is a switch.
  * With Kafka or the directory away the copy goes on as it is, and says how old it is.

Chunks are kept for the next generation, which names most of them again. One that only another generation named is let
go; should a later generation name it after all, the areas are read from the start again.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import structlog

from libs.alliance.generations import Damaged, Drawing, Shelf, read_atlas
from libs.alliance.state import NOTHING_KNOWN, Alliance, evolve
from libs.events.envelope import Event, Malformed, UnknownType
from libs.events.log.broker import Broker
from libs.events.log.own_reader import OwnReader
from libs.events.types import Fact
from libs.events.types.directory import (
    AREAS_TOPIC,
    TOPIC,
    AreaChunkPublished,
    BoundariesActivated,
    BoundariesImported,
    NeighbourhoodsActivated,
    OverlayActivated,
)
from libs.places import Atlas

log = structlog.get_logger(__name__)

PATIENCE_S = 10.0
"""From the announcement of a generation until it is a trouble that it is not in use."""


class AllianceCopy:
    """Run `run()` for as long as the process lives; read `current` whenever a decision is made."""

    def __init__(self, *, name: str, broker: Broker) -> None:
        self._name = name
        self._broker = broker
        self._alliance = NOTHING_KNOWN
        self._whole = False
        self._shelf = Shelf()
        self._in_use: Drawing | None = None
        self._imported: Drawing | None = None
        """The last, until it is activated."""
        self._before: Drawing | None = None
        """What was in force before the one announced."""
        self._spare: tuple[Drawing, Atlas] | None = None
        """What may be activated next, once it is ready; or what was in use before."""
        self._unreadable: set[Drawing] = set()
        self._announced_at = 0.0
        self._changed = asyncio.Event()
        self._reread = asyncio.Event()
        self._became_ready = asyncio.Event()
        self._knew_queues = asyncio.Event()
        self._directory = self._reader("directory", TOPIC)

    @property
    def current(self) -> Alliance | None:
        """The latest picture; None until there is a whole one. Its `atlas` may still be None: see `ready`."""
        return self._alliance if self._whole and self._alliance.defined is not None else None

    def ready(self) -> bool:
        """True from when everything is here that a decision needs: alliance, default queue, boundaries."""
        alliance = self.current
        return alliance is not None and alliance.default_queue is not None and alliance.atlas is not None

    @property
    def prepared(self) -> str | None:
        """The generation that is read beside the one in use: its activation is a switch."""
        return None if self._spare is None else self._spare[0].generation

    def knows_queues(self) -> bool:
        """True from when no contact need be left out: without boundaries it goes where it was presented."""
        alliance = self.current
        return alliance is not None and alliance.default_queue is not None

    async def until_ready(self) -> None:
        await self._became_ready.wait()

    async def until_usable(self, patience_s: float) -> None:
        """Return when it is ready, or has known the queues for so long and the boundaries still are not there."""
        await self._knew_queues.wait()
        try:
            async with asyncio.timeout(patience_s):
                await self.until_ready()
        except TimeoutError:
            log.error("used_without_boundaries", reader=self._name, trouble=self.trouble())

    def age_s(self) -> float:
        """Seconds since this copy last knew that it had all of the directory. Infinite before the first time."""
        return self._directory.age_s() if self._whole else float("inf")

    def trouble(self) -> str | None:
        """For readiness and operators: what this copy lacks, or None. New boundaries may take `PATIENCE_S` to come."""
        if (why := self._directory.trouble()) is not None:
            return f"the copy of the directory {why}"
        if self.current is None:
            return "the directory has not been read yet, or holds no alliance"
        if self._alliance.default_queue is None:
            return "the alliance's default queue is not known"
        announced = self._announced
        if announced is None:
            return "no boundaries are known"
        if announced in self._unreadable:
            return f"the boundaries {announced.generation} cannot be read"
        if announced == self._in_use or (self.ready() and time.monotonic() - self._announced_at < PATIENCE_S):
            return None
        missing = len(self._shelf.missing(announced))
        return f"the boundaries {announced.generation} are not in use yet; {missing} of their pieces are missing"

    @property
    def _announced(self) -> Drawing | None:
        boundaries = self._alliance.boundaries
        return None if boundaries is None else Drawing.of(boundaries)

    @property
    def _next(self) -> Drawing | None:
        """What may be activated next: what was imported, or else what was in force before."""
        return self._imported if self._imported not in (None, self._announced) else self._before

    async def run(self) -> None:
        """Follow until cancelled. Raises what a reader raises; run again, it goes on where it was."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._directory.run())
            tasks.create_task(self._follow_areas())
            tasks.create_task(self._take_over())

    def _reader(self, what: str, topic: str) -> OwnReader:
        return OwnReader(
            name=f"{self._name}.{what}",
            topics=[topic],
            on_event=self.apply,
            broker=self._broker,
            from_start=True,
        )

    async def _follow_areas(self) -> None:
        """Read the areas, from the start again whenever `_reread` is set."""
        await self._directory.caught_up.wait()
        self._whole = True
        if self._alliance.boundaries is not None:
            self._settle()
        self._changed.set()
        while True:
            self._reread.clear()
            reading = asyncio.ensure_future(self._reader("areas", AREAS_TOPIC).run())
            asked = asyncio.ensure_future(self._reread.wait())
            try:
                await asyncio.wait((reading, asked), return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    reading.result()
            finally:
                asked.cancel()
                reading.cancel()
                await asyncio.gather(reading, asked, return_exceptions=True)

    def apply(self, event: Event) -> None:
        """Take in one event of either topic; one that cannot be read is counted and changes nothing."""
        fact: Fact | None = None
        try:
            fact = event.fact
        except UnknownType:
            log.info("directory_event_unknown", type=event.type)
        except Malformed as error:
            log.error("directory_event_malformed", event_id=str(event.id), type=event.type, error=str(error))
        if isinstance(fact, AreaChunkPublished):
            self._put_on_shelf(fact)
        else:
            before = self._announced
            self._alliance = evolve(self._alliance, fact)
            if isinstance(fact, BoundariesActivated):
                self._shelf.announce(fact)
                self._announced_at = time.monotonic()
                self._activate(Drawing.of(fact), before)
            elif isinstance(fact, BoundariesImported):
                self._shelf.announce(fact)
                self._imported = Drawing.of(fact)
            elif isinstance(fact, NeighbourhoodsActivated):
                self._shelf.forgo({sha256 for area in fact.areas for sha256 in area.hashes})
            elif isinstance(fact, OverlayActivated):
                self._shelf.forgo(set(fact.hashes))
        self._changed.set()

    def _activate(self, announced: Drawing, before: Drawing | None) -> None:
        """Switch where the areas are ready. What was in force before is what may be gone back to."""
        if before != announced:
            self._before = before
        if self._imported == announced:
            self._imported = None
        if self._spare is not None and self._spare[0] == announced:
            self._use(*self._spare)

    def _use(self, boundaries: Drawing, atlas: Atlas) -> None:
        """In one step: whoever has taken `current` decides on by the atlas in it."""
        replaced, before = self._in_use, self._alliance.atlas
        self._spare = (replaced, before) if replaced is not None and before is not None else None
        self._alliance = replace(self._alliance, atlas=atlas)
        self._in_use = boundaries
        self._settle()
        log.info("boundaries_in_use", generation=boundaries.generation)

    def _settle(self) -> None:
        """Keep the chunks of what is in use, announced, or may be next."""
        self._shelf.settle(*filter(None, (self._announced, self._in_use, self._next)))

    def _put_on_shelf(self, chunk: AreaChunkPublished) -> None:
        try:
            self._shelf.add(chunk)
        except Damaged:
            log.error("area_chunk_damaged", sha256=chunk.sha256)

    async def _take_over(self) -> None:
        """Whenever the announced generation is whole and not in use, read it and put it to use."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.knows_queues():
                self._knew_queues.set()
            if self._whole and (wanted := self._wanted()) is not None:
                missing = self._shelf.missing(wanted)
                if not missing:
                    await self._read(wanted)
                elif self._shelf.expect_again(missing):
                    self._reread.set()
            if self.ready():
                self._became_ready.set()

    def _wanted(self) -> Drawing | None:
        """What is to be read now: what is announced before what may be next."""
        announced = self._announced
        if announced is not None and announced != self._in_use and announced not in self._unreadable:
            return announced
        ready = (self._in_use, self._spare[0] if self._spare else None)
        return self._next if self._in_use and self._next not in (*ready, *self._unreadable) else None

    async def _read(self, boundaries: Drawing) -> None:
        try:
            atlas = await asyncio.to_thread(read_atlas, boundaries, self._shelf.chunks(boundaries))
        except Exception as error:  # whatever is wrong with them, the areas in use stay in use
            log.error("boundaries_unreadable", generation=boundaries.generation, error=str(error))
            self._unreadable.add(boundaries)
            return
        if boundaries == self._announced:
            self._use(boundaries, atlas)
        elif boundaries == self._next:
            self._spare = (boundaries, atlas)
            self._settle()
            log.info("boundaries_ready", generation=boundaries.generation)
        self._changed.set()  # another may have been announced meanwhile
