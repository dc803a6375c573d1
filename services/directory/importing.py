"""Boundaries imported, activated and drawn: what the API and the command line do alike.

Invariants
  * Every piece of geometry is stored before the import that names it, and the import before its activation. What breaks
    off in between leaves what is in force in force, and is finished by doing it again.
  * Imports and activations are decided on the stream they are appended to: of two at once, one looks again.
  * A file, and geometry that came from one, is worked on in a process apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from libs.alliance.generations import Drawing, Generation
from libs.events.log.database import Database
from libs.events.log.errors import Conflict
from libs.events.types.directory import BoundariesImported, BoundariesReport
from services.directory import boundaries, checking
from services.directory.alliance_file import Unusable
from services.directory.apart import Apart
from services.directory.boundaries import Who
from services.directory.forces import Change
from services.directory.geometry import stored_chunks
from services.directory.known import known_forces
from services.directory.load import TRIES, say, say_chunks
from services.directory.stored import Stored


class File(NamedTuple):
    """What is to be imported, under which name, and what is said of it."""

    path: str
    generation: str
    source: str
    accuracy_m: float


class Pictures:
    """Draws one at a time, for whoever waits; the last one is kept, for many may ask for it."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        self._one = asyncio.Lock()
        self._last: tuple[object, bytes] | None = None

    def stop(self) -> None:
        self._apart.stop()

    async def draw(self, what: object, read: Callable[[], Awaitable[tuple[object, ...]]]) -> bytes:
        """`what` says which picture; `read` gives what `checking.picture` draws. Raises Unusable, Failed, and what
        `read` raises; Busy where the one before is still being drawn though its asker has gone."""
        async with self._one:
            if self._last is None or self._last[0] != what:
                self._last = what, await self._apart.run(bytes, checking.picture, *await read())
            return self._last[1]


class Store(NamedTuple):
    """The database, what is known of it, and who does the work."""

    database: Database
    stored: Stored
    apart: Apart
    pictures: Pictures

    @classmethod
    def of(cls, database: Database, stored: Stored) -> Store:
        return cls(database, stored, Apart(), Pictures(Apart()))

    def stop(self) -> None:
        """End the work that is being done."""
        self.apart.stop()
        self.pictures.stop()

    async def look(self) -> None:
        await self.stored.catch_up(self.database)


async def import_file(store: Store, file: File, who: Who) -> bool:
    """Read and check a file, and keep it under its name. False: it is there already, and nothing was said.

    Raises Unusable, GenerationChanged, apart.Busy and apart.Failed, Unavailable, and Conflict where others never stop
    writing.
    """
    await store.look()
    before = await _standing(store)
    checked = await store.apart.run(
        checking.Checked,
        checking.check_file,
        file.path,
        file.accuracy_m,
        list(known_forces()),
        _members(store),
        before,
    )
    refs, contents = boundaries.named(checked.areas)
    imported = BoundariesImported(
        generation=file.generation,
        source=file.source,
        accuracy_m=file.accuracy_m,
        areas=refs,
        report=checked.report,
        by=who.by,
    )
    for left in reversed(range(TRIES)):
        await store.look()
        if boundaries.plan_import(store.stored.history, imported) is None:
            return False
        try:
            unsaid = boundaries.unsaid(contents, store.stored.versions)
            async for _ in say_chunks(store.database, store.stored, unsaid):
                pass
            # Decided and said in one go: nobody follows the store in between.
            if (wanted := boundaries.plan_import(store.stored.history, imported)) is None:
                return False
            await _say(store, [Change(boundaries.SUBJECT, wanted)], who)
        except Conflict:
            if not left:
                raise
        else:
            await store.look()
            return True
    raise AssertionError("unreachable")


async def activate(store: Store, generation: str, who: Who, reason: str | None, *, override: bool) -> bool:
    """Put it in force, at once, for everybody. False: it is in force already, and nothing was said.

    Raises NoSuchGeneration, Blocked, and as `import_file`.
    """
    for left in reversed(range(TRIES)):
        await store.look()
        try:
            await _renew_report(store, generation, who)
            said = boundaries.plan_activation(
                store.stored.history,
                generation,
                {force.id: force.agency for force in store.stored.alliance.forces.values() if force.agency},
                who,
                reason,
                datetime.now(UTC),
                override=override,
            )
            await _say(store, [Change(*one) for one in said], who)
        except Conflict:
            if not left:
                raise
        else:
            await store.look()
            return bool(said)
    raise AssertionError("unreachable")


async def picture(store: Store, generation: str) -> bytes:
    """A PNG of the generation, and of what it changed against the one in force before it. Raises NoSuchGeneration."""
    history = store.stored.history
    known = history.of(generation)
    if known is None:
        raise boundaries.NoSuchGeneration(generation)
    before = history.before(generation)
    imported = history.imported.get(generation)
    report = imported.fact.report if imported is not None else BoundariesReport(format="", crs="EPSG:27700")

    async def read() -> tuple[object, ...]:
        standing = None if before is None else await _read(store, before)
        return await _read(store, known), known.source, report, _members(store), standing

    what = (Drawing.of(known), known.source, None if before is None else Drawing.of(before), report, _members(store))
    return await store.pictures.draw(what, read)


async def _renew_report(store: Store, generation: str, who: Who) -> None:
    """What was compared with boundaries that have been replaced since is compared with those in force. What has been in
    force is gone back to without."""
    history = store.stored.history
    imported = history.imported.get(generation)
    if imported is None or history.was_in_force(generation):
        return
    before = await _standing(store)
    if imported.fact.report.compared_with == (None if before is None else before.generation):
        return
    report = await store.apart.run(
        BoundariesReport,
        checking.check_again,
        await _read(store, imported.fact),
        imported.fact.report,
        _members(store),
        before,
    )
    fresh = BoundariesImported(
        generation=generation,
        source=imported.fact.source,
        accuracy_m=imported.fact.accuracy_m,
        areas=imported.fact.areas,
        report=report,
        by=who.by,
    )
    if store.stored.history.imported.get(generation) != imported:
        raise Conflict(boundaries.SUBJECT, 0)
    await _say(store, [Change(boundaries.SUBJECT, fresh)], who)
    await store.look()


async def _standing(store: Store) -> checking.Standing | None:
    in_force = store.stored.history.in_force
    return None if in_force is None else await _read(store, in_force.fact)


async def _read(store: Store, one: Generation) -> checking.Standing:
    chunks = await stored_chunks(store.database, [area.hashes for area in one.areas])
    areas = {area.force: [chunks[sha256] for sha256 in area.hashes] for area in one.areas}
    return checking.Standing(one.generation, one.accuracy_m, areas)


def _members(store: Store) -> list[str]:
    """Who must have an area. Raises Unusable without an alliance: nobody knows then what is missing."""
    if store.stored.alliance.defined is None:
        raise Unusable("No alliance is known yet: load one first, then its boundaries.")
    return [force.id for force in store.stored.alliance.members]


async def _say(store: Store, said: list[Change], who: Who) -> None:
    await say(store.database, store.stored, said, traceparent=who.traceparent)
