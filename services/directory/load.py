"""Bring an alliance file, and the shipped areas, into the directory's event store.

The shipped areas come into force where nothing is, or an older release's are; what an operator has imported and
activated stays (`boundaries.stays`).

Invariant: what is there already is not said again. Loading twice appends nothing; loading after a crash goes on where
it stopped. A load beside another one loses, looks again, and decides again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from libs.events.envelope import events_of
from libs.events.log.database import Database
from libs.events.log.errors import Conflict
from libs.events.log.store import Append, append
from libs.events.types import Fact
from libs.events.types.directory import AllianceDefined, AreaChunkPublished, EntityWithdrawn
from libs.events.types.manner import HolidaysDefined
from services.directory import boundaries
from services.directory.alliance_file import AllianceFile
from services.directory.areas import Areas
from services.directory.forces import Change, KnownForce, changes, desired
from services.directory.stored import Stored

TRIES = 5
CHUNKS_AT_ONCE = 8
"""Some three megabytes: well within what a transaction may last."""


@dataclass(frozen=True)
class Loaded:
    """What a load changed."""

    before: AllianceDefined | None
    after: AllianceDefined
    changes: Sequence[Change]
    chunks: int
    activated: str | None
    """The generation of boundaries that came into force."""
    notes: Sequence[str] = ()

    @property
    def withdrawn(self) -> list[str]:
        return [change.subject for change in self.changes if isinstance(change.fact, EntityWithdrawn)]

    def sentences(self) -> Iterator[str]:
        """What happened, for the person who asked for it."""
        if self.before is not None and self.before.id != self.after.id:
            yield f"Switched from {self.before.name} to {self.after.name}."
        defined = len(self.changes) - len(self.withdrawn)
        if self.changes:
            yield f"{self.after.name}: {defined} entities defined, {len(self.withdrawn)} withdrawn."
        if self.withdrawn:
            yield "Withdrawn: " + ", ".join(self.withdrawn) + "."
        if self.activated is not None:
            yield f"Boundaries {self.activated} are in force; {self.chunks} new pieces of geometry."
        if not self.changes and self.activated is None:
            yield f"{self.after.name}: nothing changed."
        yield from self.notes


async def load(
    database: Database,
    file: AllianceFile,
    known: Iterable[KnownForce],
    drawn: Areas,
    holidays: Iterable[HolidaysDefined] = (),
) -> Loaded:
    """Make the store say what the file and the areas say.

    Raises Contradiction for a file that is wrong about a force, Unavailable, and Conflict where others never stop
    writing.
    """
    wanted = desired(file, known, holidays)
    stored = Stored()
    said, before = await _load_entities(database, wanted, stored)
    chunks, activated, notes = await _load_boundaries(database, drawn, stored)
    strangers = sorted({force.id for force in file.forces} - drawn.areas.keys())
    if strangers:
        notes.append(f"No area belongs to {', '.join(strangers)}: no place will be found there.")
    after = next(fact for fact in wanted.values() if isinstance(fact, AllianceDefined))
    return Loaded(before, after, said, chunks, activated, notes)


async def _load_entities(
    database: Database, wanted: Mapping[str, Fact], stored: Stored
) -> tuple[list[Change], AllianceDefined | None]:
    for left in reversed(range(TRIES)):
        await stored.catch_up(database)
        before = stored.alliance.defined
        said = changes(wanted, stored.alliance)
        try:
            await say(database, stored, said)
        except Conflict:
            if not left:
                raise
        else:
            return said, before
    raise AssertionError("unreachable")


async def _load_boundaries(database: Database, drawn: Areas, stored: Stored) -> tuple[int, str | None, list[str]]:
    written = 0
    for left in reversed(range(TRIES)):
        await stored.catch_up(database)
        if (why := boundaries.stays(stored.history, drawn.generation)) is not None:
            return written, None, [why]
        try:
            plan = boundaries.plan(
                drawn.generation,
                drawn.attribution,
                drawn.accuracy_m,
                drawn.areas,
                stored=stored.versions,
                in_force=stored.alliance.boundaries,
            )
        except boundaries.GenerationChanged as refusal:
            return written, None, [str(refusal)]
        if plan.activation is None:
            return written, None, []
        try:
            async for count in say_chunks(database, stored, plan.chunks):
                written += count
            await say(database, stored, [Change(boundaries.SUBJECT, plan.activation)])
        except Conflict:
            if not left:
                raise
        else:
            return written, plan.activation.generation, []
    raise AssertionError("unreachable")


async def say_chunks(database: Database, stored: Stored, chunks: Sequence[AreaChunkPublished]) -> AsyncIterator[int]:
    """A few in a transaction, each into its own stream: how many each time."""
    said = [Change(boundaries.chunk_subject(chunk.sha256), chunk) for chunk in chunks]
    for at in range(0, len(said), CHUNKS_AT_ONCE):
        together = said[at : at + CHUNKS_AT_ONCE]
        await say(database, stored, together)
        yield len(together)


async def say(database: Database, stored: Stored, said: Sequence[Change], *, traceparent: str | None = None) -> None:
    """All of it in one transaction and as of one time, each fact into its entity's stream after what is there: whoever
    asks what was then sees all of it or nothing."""
    appends, now = [], datetime.now(UTC)
    for subject, fact in said:
        version = stored.versions.get(subject, 0)
        events = events_of(
            [fact],
            source=database.source,
            subject=subject,
            after=version,
            force=getattr(fact, "force", None),
            time=now,
            traceparent=traceparent,
        )
        appends.append(Append(subject, version, events))
    if appends:
        async with database.transaction() as connection:
            await append(connection, appends)
