"""A force's area as a service boundary (RFC 5222, section 5.5), in the profile geodetic-2d.

Invariant: a boundary lies within the area that the decision uses, so that a client which asks no more while it is
inside is never wrong. An area of too many corners for an answer is drawn simpler, and smaller, never larger.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import shapely

from libs.events.types.directory import AreaRef
from libs.places import decode_area
from libs.places.grid import to_wgs84_many
from services.directory.generation import InForce

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CORNERS = 4_000
"""Of a boundary: some 90 kB of XML."""
_TOLERANCES_M = (2.0, 5.0, 10.0, 15.0, 25.0, 35.0, 50.0, 75.0, 100.0, 150.0, 250.0, 500.0, 1_000.0)
_LONGEST_EDGE_M = 2_000.0
"""A line that is straight on the grid is off by 10 cm at most when it is drawn straight in degrees."""


class Ring(NamedTuple):
    """Corners as `lat lon lat lon …`, closed; outer rings counter-clockwise (RFC 5491, section 5.2.2)."""

    exterior: str
    interiors: tuple[str, ...]


class Boundary(NamedTuple):
    area: shapely.Geometry
    """EPSG:27700."""
    rings: tuple[Ring, ...]


_drawn: WeakKeyDictionary[InForce, dict[str, Boundary | None]] = WeakKeyDictionary()


def key_of(area: AreaRef) -> str:
    """A name for this very boundary: of the same area there is one, in whatever generation."""
    return hashlib.sha256(" ".join((area.force, *area.hashes)).encode()).hexdigest()[:32]


def area_of(generation: InForce, force: str) -> AreaRef | None:
    return next((area for area in generation.boundaries.areas if area.force == force), None)


def boundary_of(generation: InForce, area: AreaRef) -> Boundary | None:
    """Drawn once. None for an area that no simpler drawing makes small enough. Takes up to a second: not for a loop."""
    known = _drawn.setdefault(generation, {})
    if area.force not in known:
        known[area.force] = draw(decode_area([generation.chunks[sha256] for sha256 in area.hashes]))
    return known[area.force]


def draw(area: shapely.Geometry) -> Boundary | None:
    inside = _within(area)
    if inside is None:
        return None
    parts = shapely.get_parts(shapely.segmentize(inside, _LONGEST_EDGE_M))
    rings = []
    for part in sorted(parts, key=shapely.area, reverse=True):
        polygon = shapely.orient_polygons(part)
        exterior = _pos_list(shapely.get_exterior_ring(polygon))
        rings.append(Ring(exterior, tuple(_pos_list(ring) for ring in polygon.interiors)))
    return Boundary(inside, tuple(rings))


def _within(area: shapely.Geometry) -> shapely.Geometry | None:
    """The area, or as much of it as can be drawn in MAX_CORNERS."""
    if shapely.get_num_coordinates(area) <= MAX_CORNERS:
        return area
    shapely.prepare(area)
    for tolerance in _TOLERANCES_M:
        parts = shapely.get_parts(area)
        large = parts[shapely.area(parts) > (2.0 * tolerance) ** 2]  # of the others little would be left
        # Simplifying moves a line by the tolerance at most: what is left of it further inside is within the area.
        simpler = shapely.simplify(shapely.multipolygons(large), tolerance)
        if shapely.get_num_coordinates(simpler) > MAX_CORNERS:
            continue
        smaller = shapely.buffer(simpler, -tolerance, join_style="mitre")
        if shapely.is_empty(smaller):
            return None
        if shapely.get_num_coordinates(smaller) <= MAX_CORNERS and shapely.contains(area, smaller):
            return smaller
    return None


def _pos_list(ring: shapely.Geometry) -> str:
    places: NDArray[np.float64] = to_wgs84_many(shapely.get_coordinates(ring))
    return " ".join(f"{lat:.7f} {lon:.7f}" for lat, lon in places.tolist())
