"""Geometry out of the event store: the pieces of a generation, and the atlas they make."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from libs.alliance.generations import Drawing, Generation, read_atlas
from libs.events.log.database import Database
from libs.events.log.store import load_many
from libs.events.types.directory import AreaChunkPublished
from services.directory.boundaries import chunk_subject
from services.directory.generation import Read

KEPT = 2
"""Generations of the past: some tens of megabytes each."""


async def stored_chunks(database: Database, hashes: Iterable[Sequence[str]]) -> dict[str, bytes]:
    """By hash, as far as they are stored. Raises Unavailable."""
    chunks: dict[str, bytes] = {}
    for some in hashes:  # not all at once: a read must not last long
        streams = await load_many(database, [chunk_subject(sha256) for sha256 in some])
        facts = (events[0].fact for events in streams.values() if events)
        chunks |= {fact.sha256: fact.content for fact in facts if isinstance(fact, AreaChunkPublished)}
    return chunks


async def read_generation(database: Database, boundaries: Generation) -> Read:
    """Raises KeyError for a piece that is not stored, ValueError for one that cannot be read, Unavailable."""
    chunks = await stored_chunks(database, [area.hashes for area in boundaries.areas])
    atlas = await asyncio.to_thread(read_atlas, boundaries, chunks)
    return Read(Drawing.of(boundaries), atlas, chunks)


class Past:
    """Generations that were in force: read when somebody asks, and the last few kept."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[Drawing, Read] = OrderedDict()
        self._one = asyncio.Lock()
        """One is read at a time, and once for all who ask."""

    async def read(self, drawing: Drawing) -> Read:
        """Raises as `read_generation`."""
        if drawing not in self._kept:
            async with self._one:
                if drawing not in self._kept:
                    self._kept[drawing] = await read_generation(self._database, drawing)
                    while len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
        self._kept.move_to_end(drawing)
        return self._kept[drawing]
