"""Which boundaries were imported, which were in force, and when: the stream of boundaries, folded. Pure.

Invariant: what was in force at a moment never changes; a later activation only ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from libs.alliance.generations import Drawing
from libs.events.types import Fact
from libs.events.types.directory import BoundariesActivated, BoundariesImported, EntityWithdrawn, GapOverlapFound

_GAP_OVERLAP = "gap-overlap/"


class Imported(NamedTuple):
    fact: BoundariesImported
    at: datetime
    activations: int
    """How many there had been by then."""


class Activated(NamedTuple):
    fact: BoundariesActivated
    since: datetime


class Span(NamedTuple):
    """A time in force."""

    since: datetime
    until: datetime | None
    """None: it is in force."""


@dataclass(frozen=True)
class History:
    imported: Mapping[str, Imported] = field(default_factory=dict)
    """The last import of each name, in their order."""
    activated: tuple[Activated, ...] = ()
    """In order."""
    gaps_and_overlaps: Mapping[str, GapOverlapFound] = field(default_factory=dict)
    """Those that stand, by id."""

    def after(self, fact: Fact | None, at: datetime) -> History:
        match fact:
            case BoundariesImported():
                others = {name: one for name, one in self.imported.items() if name != fact.generation}
                imported = Imported(fact, at, len(self.activated))
                return replace(self, imported={**others, fact.generation: imported})
            case BoundariesActivated():
                # Clocks of two copies may differ: nothing comes into force before what was said before it.
                since = max(at, self.activated[-1].since) if self.activated else at
                return replace(self, activated=(*self.activated, Activated(fact, since)))
            case GapOverlapFound():
                return replace(self, gaps_and_overlaps={**self.gaps_and_overlaps, fact.id: fact})
            case EntityWithdrawn(entity=entity) if entity.startswith(_GAP_OVERLAP):
                gone = entity.removeprefix(_GAP_OVERLAP)
                left = {name: one for name, one in self.gaps_and_overlaps.items() if name != gone}
                return replace(self, gaps_and_overlaps=left)
            case _:
                return self

    @property
    def in_force(self) -> Activated | None:
        return self.activated[-1] if self.activated else None

    @property
    def next(self) -> BoundariesImported | BoundariesActivated | None:
        """What may be activated next: the last import, until it is activated; or else what was in force before."""
        if self.in_force is None:
            return None
        if self.imported:
            last = list(self.imported.values())[-1]
            drawing = Drawing.of(last.fact)
            if all(Drawing.of(one.fact) != drawing for one in self.activated[max(last.activations - 1, 0) :]):
                return last.fact
        drawing = Drawing.of(self.in_force.fact)
        return next((one.fact for one in reversed(self.activated) if Drawing.of(one.fact) != drawing), None)

    def at(self, moment: datetime) -> Activated | None:
        """What was in force at the moment; None: before the first."""
        return next((one for one in reversed(self.activated) if one.since <= moment), None)

    def of(self, generation: str) -> BoundariesImported | BoundariesActivated | None:
        """What the name stands for. What was in force under it stands for ever."""
        imported = self.imported.get(generation)
        return self.ruled(generation) or (imported.fact if imported is not None else None)

    def ruled(self, generation: str) -> BoundariesActivated | None:
        """Its last activation."""
        return next((one.fact for one in reversed(self.activated) if one.fact.generation == generation), None)

    def was_in_force(self, generation: str) -> bool:
        return any(one.fact.generation == generation for one in self.activated)

    def before(self, generation: str) -> BoundariesActivated | None:
        """What was in force before the generation first came into force; of one that never was: what is in force."""
        found: BoundariesActivated | None = None
        for one in self.activated:
            if one.fact.generation == generation:
                break
            found = one.fact
        return found

    def spans(self, generation: str) -> list[Span]:
        """When it was in force, a span for each time, in order."""
        spans: list[Span] = []
        ends = [one.since for one in self.activated[1:]] + [None]
        for one, until in zip(self.activated, ends, strict=bool(self.activated)):
            if one.fact.generation != generation:
                continue
            if spans and spans[-1].until == one.since:
                spans[-1] = Span(spans[-1].since, until)
            else:
                spans.append(Span(one.since, until))
        return spans

    @property
    def names(self) -> list[str]:
        """Of every generation, in the order in which they were first heard of."""
        first = {one.fact.generation: one.since for one in reversed(self.activated)}
        for name, one in self.imported.items():
            first[name] = min(one.at, first.get(name, one.at))
        return sorted(first, key=lambda name: (first[name], name))
