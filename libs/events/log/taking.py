"""What one transaction of a shared reader does with messages: apply what is new, park what cannot be applied.

Invariant: every message is applied, skipped as seen before, or held in a row; and what is held of a subject keeps its
later events behind it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from libs.events.envelope import Event
from libs.events.log import inbox, metrics, store
from libs.events.log.database import TRANSIENT, Connection
from libs.events.log.errors import Conflict, Stopped, described
from libs.events.log.inbox import Message, Sorted, Stream, StreamKey, Why
from libs.events.log.key_copies import KeysMissing
from libs.events.log.store import Append

log = structlog.get_logger(__name__)

PARK_WINDOW_S = 60.0
AGAIN: tuple[type[BaseException], ...] = (*TRANSIENT, Conflict, KeysMissing)
"""What the same batch may not meet when it is tried again."""


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that could not be applied, for `on_park`."""

    message: Message
    error: str

    @property
    def event(self) -> Event | None:
        """None where not even the envelope could be read."""
        return self.message.event


Apply: TypeAlias = Callable[[Connection, Sequence[Event]], Awaitable[Sequence[Append]]]
OnPark: TypeAlias = Callable[[Connection, Parked], Awaitable[Sequence[Append]]]


class Taker:
    """Takes messages for the reader `name`; the rest as its SharedReader was given it."""

    def __init__(self, name: str, apply: Apply, on_park: OnPark | None, park_limit: int) -> None:
        self._name = name
        self._apply = apply
        self._on_park = on_park
        self._park_limit = park_limit
        self._parked_at: deque[float] = deque()

    def count(self, parked: Iterable[Parked]) -> None:
        """These are parked for good: their transaction has committed."""
        self._parked_at.extend(time.monotonic() for _ in parked)

    async def take(
        self, connection: Connection, messages: Sequence[Message], *, one_by_one: bool, tries: int = 1
    ) -> list[Parked]:
        """Apply what is new among the messages, remember everything, append last; all in the caller's transaction.

        Returns what was parked for the first time: `count` it when the transaction has committed. `one_by_one`: each
        subject by itself, so that one that cannot be applied keeps none of the others. `tries`: how often people asked
        for these, and one. Raises Stopped, what AGAIN names, and without `one_by_one` whatever `apply` raises.
        """
        streams = await inbox.lock_streams(connection, self._name, (m.stream for m in messages))
        found = inbox.sort_out(messages, streams, await inbox.applied_ids(connection, messages, streams))
        if found.forks:
            fork = found.forks[0]
            raise Stopped(
                f"fork: version {fork.message.version} of {fork.message.stream} was applied as {fork.applied} and "
                "comes again as another event; its source was restored from a backup"
            )
        parked = [Parked(m, m.error or "") for m, why in found.hold if why == "parked"]
        if one_by_one:
            appends = await self._apply_by_subject(connection, found, streams, parked)
        else:
            appends = [*await self._apply(connection, [m.event for m in found.new if m.event])] if found.new else []
        errors = {id(failure.message): failure.error for failure in parked}
        await inbox.remember(
            connection,
            self._name,
            streams,
            applied=found.new,
            unheld=found.unheld,
            hold=[(m, why, errors.get(id(m))) for m, why in found.hold],
            tries=tries,
        )
        if tries > 1:
            parked = []
        appends += await self._park(connection, parked)
        await store.append(connection, appends)
        metrics.APPLIED.labels(self._name).inc(len(found.new))
        metrics.DUPLICATES.labels(self._name).inc(found.duplicates)
        return parked

    async def _apply_by_subject(
        self, connection: Connection, found: Sorted, streams: dict[StreamKey, Stream], parked: list[Parked]
    ) -> list[Append]:
        """Each subject by itself: as many of its events as can be applied; the first that cannot is parked, and the
        rest of that subject stand behind it."""
        subjects: dict[str, list[Message]] = {}
        for message in found.new:
            subjects.setdefault(message.stream[1], []).append(message)
        appends: list[Append] = []
        found.new = []
        for group in subjects.values():
            good, made, error = await self._apply_longest(connection, group)
            found.new += group[:good]
            appends += made
            for i, message in enumerate(group[good:]):
                stream = streams[message.stream]
                why: Why = "behind" if i else "parked"
                stream.version = min(stream.version, message.version - 1)
                stream.held[message.version] = (why, message)
                found.hold.append((message, why))
            if good < len(group):
                parked.append(Parked(group[good], error))
        return appends

    async def _apply_longest(self, connection: Connection, group: Sequence[Message]) -> tuple[int, list[Append], str]:
        """Apply the longest beginning of the group that can be applied: how many, their appends, the next one's error.

        Found by halves, each try in a savepoint.
        """
        good, bad, count = 0, len(group) + 1, len(group)
        error = ""
        while good + 1 < bad:
            savepoint = connection.transaction()
            await savepoint.start()
            try:
                made = [*await self._apply(connection, [m.event for m in group[:count] if m.event])]
                for append in made:
                    store.check(append)
            except AGAIN:
                raise
            except Exception as failure:
                await savepoint.rollback()
                bad, error = count, described(failure)
            else:
                if count + 1 == bad:
                    await savepoint.commit()
                    return count, made, error
                await savepoint.rollback()
                good = count
            count = (good + bad) // 2
        made = [*await self._apply(connection, [m.event for m in group[:good] if m.event])] if good else []
        return good, made, error

    async def _park(self, connection: Connection, parked: Sequence[Parked]) -> list[Append]:
        """Say what is parked, stop where it is too much, do the least that must be done."""
        while self._parked_at and self._parked_at[0] < time.monotonic() - PARK_WINDOW_S:
            self._parked_at.popleft()
        count = len(self._parked_at) + len(parked)  # those of this transaction count for good once it commits
        if parked and self._on_park is None and count > self._park_limit:
            raise Stopped(f"{count} events could not be applied within a minute")
        appends: list[Append] = []
        for failure in parked:
            metrics.PARKED.labels(self._name).inc()
            log.error(
                "event_parked",
                reader=self._name,
                topic=failure.message.topic,
                partition=failure.message.partition,
                offset=failure.message.offset,
                type=failure.event.type if failure.event else None,
            )
            if self._on_park is not None:
                appends += await self._on_park(connection, failure)
        return appends
