"""A history in the order things followed from each other.

Clocks of four services differ and topics have no order between them, so time alone would show effects before causes.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Protocol, TypeVar
from uuid import UUID


class Entry(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def source(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def time(self) -> datetime: ...
    @property
    def causation_id(self) -> UUID | None: ...


E = TypeVar("E", bound=Entry)


def in_order(entries: Iterable[E]) -> list[E]:
    """Every entry once: after its cause, within a stream by version, and where neither says, by time.

    A cause that is not among the entries says nothing. Entries that claim to cause each other in a ring (nobody
    honest writes such) come by version and time.
    """
    by_id = {entry.id: entry for entry in entries}
    waits_for: dict[UUID, int] = dict.fromkeys(by_id, 0)
    releases: dict[UUID, list[UUID]] = defaultdict(list)
    for earlier, later in _befores(list(by_id.values())):
        releases[earlier].append(later)
        waits_for[later] += 1

    def rank(entry: E) -> tuple[datetime, str, str, int, UUID]:
        return entry.time, entry.source, entry.subject, entry.version, entry.id

    ready = [rank(entry) for entry in by_id.values() if waits_for[entry.id] == 0]
    heapq.heapify(ready)
    ordered: list[E] = []
    done: set[UUID] = set()
    while len(ordered) < len(by_id):
        if not ready:
            heapq.heappush(ready, min(rank(entry) for entry in _next_of_streams(by_id.values(), done)))
        id_ = heapq.heappop(ready)[-1]
        if id_ in done:
            continue
        done.add(id_)
        ordered.append(by_id[id_])
        for later in releases[id_]:
            waits_for[later] -= 1
            if waits_for[later] == 0:
                heapq.heappush(ready, rank(by_id[later]))
    return ordered


def _befores(entries: Sequence[Entry]) -> Iterable[tuple[UUID, UUID]]:
    ids = {entry.id for entry in entries}
    for entry in entries:
        if entry.causation_id in ids and entry.causation_id != entry.id:
            yield entry.causation_id, entry.id
    streams: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        streams[entry.source, entry.subject].append(entry)
    for stream in streams.values():
        stream.sort(key=lambda entry: entry.version)
        for earlier, later in pairwise(stream):
            yield earlier.id, later.id


def _next_of_streams(entries: Iterable[E], done: set[UUID]) -> Iterable[E]:
    heads: dict[tuple[str, str], E] = {}
    for entry in entries:
        if entry.id in done:
            continue
        head = heads.get((entry.source, entry.subject))
        if head is None or entry.version < head.version:
            heads[entry.source, entry.subject] = entry
    return heads.values()
