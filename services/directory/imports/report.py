"""What is told of boundaries before they are put in force: values alone. `checks.py` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import shapely

LARGE_M2 = 10_000.0
"""Of a gap or an overlap, one hectare: enough for houses to stand in."""


@dataclass(frozen=True, eq=False)
class GapOverlap:
    """A place that no force has though forces are all around it, or that several have."""

    gap: bool
    forces: tuple[str, ...]
    """Of an overlap those that have it, of a gap those around it; sorted."""
    polygon: shapely.Geometry
    """EPSG:27700."""
    area_m2: float

    @property
    def large(self) -> bool:
        return self.area_m2 >= LARGE_M2


@dataclass(frozen=True, eq=False)
class Moved:
    """What changes for one force."""

    force: str
    before_m2: float
    """0.0: it had no area."""
    after_m2: float
    """0.0: it has none any more."""
    gained_m2: float
    lost_m2: float
    to_nobody_m2: float
    """Of what it lost: what no force has now. At a coast that drawings end differently, mostly sea."""
    exchanged: Mapping[str, tuple[float, float]]
    """With each other force: square metres gained from it, and lost to it."""
    moved_m: float
    """How far its border with other forces moved where it moved furthest, metres; slivers left out."""
    slivers: int
    """Changed parts too thin to be told from the inaccuracy of the drawings."""
    slivers_m2: float
    gained: shapely.Geometry
    lost: shapely.Geometry
    """The largest changed parts, slivers left out: MultiPolygons in EPSG:27700."""
    more_than_expected: bool

    @property
    def share(self) -> float:
        """Gained and lost, of the area before."""
        return (self.gained_m2 + self.lost_m2) / self.before_m2 if self.before_m2 else 1.0


@dataclass(frozen=True, eq=False)
class Report:
    missing: tuple[str, ...]
    """Forces that were expected and that the file has no area of."""
    gone: tuple[str, ...]
    """Other forces that had an area before and have none now."""
    unknown: tuple[str, ...]
    repaired: tuple[str, ...]
    gaps: tuple[GapOverlap, ...]
    """The largest first; without slivers."""
    overlaps: tuple[GapOverlap, ...]
    gap_slivers: int
    """Thinner than the drawing is accurate."""
    overlap_slivers: int
    moved: tuple[Moved, ...]
    """The forces whose area changed, by id; empty where there was nothing before."""
    noise_m: float
    """What is thinner than this was taken for inaccuracy of the drawings."""
    blocking: tuple[str, ...] = ()
    """Sentences: what forbids activation, unless somebody overrides it."""
    notes: tuple[str, ...] = ()
    """Sentences: what else people should know."""
