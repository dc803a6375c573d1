"""What the alliance was at any moment: the directory's own events, kept in the order in which they were appended. Pure.

Invariants
  * What it answers was once in force, whole. A moment stands for all events up to the last one before which none bears
    a later time. (An event's time is its writer's clock as it decided; the store's order is that of its lock. Two
    writers may differ by what their clocks do, so times alone are not in order; a later time rules what follows it.)
  * It grows by what an alliance says of itself, never by geometry or policies, which have histories of their own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.events.types import Fact
from libs.events.types.directory import AreaChunkPublished, PolicyStored, PolicyWithdrawn

EVERY = 64
"""Events from one kept picture to the next: no more are folded for an answer."""
REMEMBERED = 32
"""Pictures between them that were asked for last."""


@dataclass(frozen=True)
class Said:
    """One event, and from when it counts."""

    since: datetime
    subject: str
    version: int
    fact: Fact | None


class Told:
    """Filled by `add`, in the store's order; asked by `at` and `of`."""

    def __init__(self) -> None:
        self._said: list[Said] = []
        self._since: list[datetime] = []
        self._pictures: list[Alliance] = [NOTHING_KNOWN]
        """Picture n is the one after n * EVERY events."""
        self._latest = NOTHING_KNOWN
        self._asked: OrderedDict[int, Alliance] = OrderedDict()

    def add(self, time: datetime, subject: str, version: int, fact: Fact | None) -> None:
        """The next event of the store. None: of a type that this copy does not know."""
        if isinstance(fact, AreaChunkPublished):
            return
        since = max(time, self._since[-1]) if self._since else time
        kept = None if isinstance(fact, PolicyStored | PolicyWithdrawn) else fact
        self._said.append(Said(since, subject, version, kept))
        self._since.append(since)
        self._latest = evolve(self._latest, kept)
        if len(self._said) % EVERY == 0:
            self._pictures.append(self._latest)

    def at(self, moment: datetime) -> Alliance:
        """The alliance as it was then, without its policies. `defined` is None where there was none."""
        count = bisect_right(self._since, moment)
        if count == len(self._said):
            return self._latest
        if (asked := self._asked.get(count)) is not None:
            self._asked.move_to_end(count)
            return asked
        picture = self._pictures[count // EVERY]
        for said in self._said[count // EVERY * EVERY : count]:
            picture = evolve(picture, said.fact)
        self._asked[count] = picture
        if len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return picture

    def changed(self, moment: datetime) -> dict[str, datetime]:
        """When each entity was last said anew by then, by subject."""
        return {said.subject: said.since for said in self._said[: bisect_right(self._since, moment)]}

    def of(self, subject: str) -> list[Said]:
        """All that was said of one entity, the first first."""
        return [said for said in self._said if said.subject == subject]
