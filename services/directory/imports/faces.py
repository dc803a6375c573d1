"""The faces that borders cut the plane into, each with whose it is: one overlay instead of one for every two areas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOBODY: Mapping[str, shapely.Geometry] = {}


class Face(NamedTuple):
    """A place bounded by borders, that no border crosses."""

    polygon: shapely.Geometry
    area_m2: float
    after: frozenset[str]
    """The forces whose area it lies in."""
    before: frozenset[str]
    """And by the areas before."""


def faces_of(after: Mapping[str, shapely.Geometry], before: Mapping[str, shapely.Geometry] = NOBODY) -> list[Face]:
    """Every face of these borders: what is nobody's among them where it is enclosed."""
    areas = [*after.values(), *before.values()]
    if not areas:
        return []
    lines = shapely.union_all(shapely.boundary(areas))
    polygons = shapely.get_parts(shapely.polygonize(list(shapely.get_parts(lines))))
    places = shapely.get_coordinates(shapely.point_on_surface(polygons))
    owners_after, owners_before = _owners(after, places), _owners(before, places)
    sizes = shapely.area(polygons)
    return [
        Face(polygon, float(size), frozenset(one), frozenset(other))
        for polygon, size, one, other in zip(polygons, sizes, owners_after, owners_before, strict=True)
    ]


def _owners(areas: Mapping[str, shapely.Geometry], places: NDArray[np.float64]) -> list[list[str]]:
    owners: list[list[str]] = [[] for _ in places]
    for force, area in areas.items():
        shapely.prepare(area)
        west, south, east, north = shapely.bounds(area)
        near = np.flatnonzero(((places >= (west, south)) & (places <= (east, north))).all(axis=1))
        for at in near[shapely.contains_xy(area, places[near, 0], places[near, 1])]:
            owners[at].append(force)
    return owners


def thick(faces: Sequence[Face], width_m: float) -> list[bool]:
    """Which of them are wider than this somewhere: a circle of that diameter fits in, to a twentieth."""
    polygons = np.array([face.polygon for face in faces], dtype=object)
    sizes = shapely.area(polygons)
    could = sizes > math.pi / 4 * width_m**2
    doubtful = could & (sizes < width_m * shapely.length(polygons))  # else its mean width is twice as much already
    simpler = shapely.simplify(polygons[doubtful], width_m / 20)
    could[doubtful] = ~shapely.is_empty(shapely.buffer(simpler, -width_m / 2, quad_segs=2))
    return [bool(one) for one in could]


def distance_moved(
    changed: Sequence[shapely.Geometry], before: shapely.Geometry | None, after: shapely.Geometry | None
) -> float:
    """How far a border lies from the other where they enclose these changed parts, metres, at most.

    Of each corner of a part the one border or the other is far, where it lies on but one of them. 0.0 without either.
    """
    if before is None or after is None or not changed:
        return 0.0
    corners = shapely.points(shapely.get_coordinates(list(changed)))
    return max(_furthest(corners, before), _furthest(corners, after))


def _furthest(corners: NDArray[np.object_], area: shapely.Geometry) -> float:
    """From the area's border."""
    tree = shapely.STRtree(_segments(area))
    _, distances = tree.query_nearest(corners, return_distance=True, all_matches=False)
    return float(distances.max())


def _segments(area: shapely.Geometry) -> NDArray[np.object_]:
    ends, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(area)), return_index=True)
    follows = np.flatnonzero(ring[:-1] == ring[1:])
    found: NDArray[np.object_] = shapely.linestrings(np.stack([ends[follows], ends[follows + 1]], axis=1))
    return found
