"""How far a place is from the nearest border between two areas.

Invariant: a border is where two areas meet: an edge they share exactly, or an edge that lies within `GAP_M` of another
area, for areas that were not drawn together. The coast is no border.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP_M = 25.0
_CHUNK = 8
"""Edges of one line in the index."""
_CELL_M = 4_096.0
_MIN_CELL_M = 256.0
_MANY_CORNERS = 64
"""A cell whose nearest lines have more corners than this is cut into sixteen."""


class Borders:
    """The borders between areas. The lines that can be nearest are remembered by cells of 4 km, of 1 km or 256 m where
    those are many, and found when first asked for."""

    def __init__(self, areas: Sequence[shapely.Geometry]):
        self._lines = _chunked(_shared_edges(areas))
        self._index = shapely.STRtree(self._lines)
        self._near: dict[tuple[float, int, int], shapely.Geometry | None] = {}
        """By the cell's side and number; None: it is cut."""
        bounds = shapely.total_bounds(np.array(areas, dtype=object)) if len(areas) else (0.0, 0.0, 0.0, 0.0)
        self._bounds = tuple(float(bound) for bound in bounds)

    @property
    def length_m(self) -> float:
        return float(shapely.length(self._lines).sum())

    def distance(self, easting: float, northing: float) -> float | None:
        """Metres to the nearest border; None where there is no border at all."""
        if not len(self._lines):
            return None
        side, near = _CELL_M, None
        while near is None:
            cell = (side, int(easting // side), int(northing // side))
            try:
                near = self._near[cell]
            except KeyError:
                near = self._nearest_lines(*cell)
            side /= 4.0
        return float(shapely.Point(easting, northing).distance(near))

    def _nearest_lines(self, side: float, column: int, row: int) -> shapely.Geometry | None:
        west, south = column * side, row * side
        centre = shapely.Point(west + side / 2.0, south + side / 2.0)
        _, distances = self._index.query_nearest(centre, return_distance=True)
        # Nothing in the cell is further from a border than its centre is, and half a diagonal more.
        reach = float(distances[0]) + side * math.sqrt(0.5)
        square = shapely.box(west, south, west + side, south + side)
        hits = self._index.query(square, predicate="dwithin", distance=reach + 1.0)
        near = shapely.multilinestrings(self._lines[np.sort(hits)])
        left, low, right, high = self._bounds
        if not (left - 1e5 <= west <= right + 1e5 and low - 1e5 <= south <= high + 1e5):
            return near  # and is not remembered, so that the memory is bounded
        if side > _MIN_CELL_M and shapely.get_num_coordinates(near) > _MANY_CORNERS:
            near = None
        self._near[side, column, row] = near
        return near


def _edges(areas: Sequence[shapely.Geometry]) -> "tuple[NDArray[np.float64], NDArray[np.int64]]":
    """Every edge of every area as (x1, y1, x2, y2), the lesser end first, and whose it is."""
    rings, ring_area = [], []
    for number, area in enumerate(areas):
        for ring in shapely.get_rings(shapely.get_parts(area)):
            rings.append(ring)
            ring_area.append(number)
    if not rings:
        return np.empty((0, 4)), np.empty(0, dtype=np.int64)
    corners, ring_of = shapely.get_coordinates(rings, return_index=True)
    same_ring = ring_of[:-1] == ring_of[1:]
    edges = np.hstack([corners[:-1], corners[1:]])[same_ring]
    owners = np.array(ring_area, dtype=np.int64)[ring_of[:-1][same_ring]]
    swap = (edges[:, 0] > edges[:, 2]) | ((edges[:, 0] == edges[:, 2]) & (edges[:, 1] > edges[:, 3]))
    edges[swap] = edges[swap][:, [2, 3, 0, 1]]
    return edges, owners


def _shared_edges(areas: Sequence[shapely.Geometry]) -> "NDArray[np.float64]":
    edges, owners = _edges(areas)
    if not len(edges):
        return edges
    unique, edge_of = np.unique(edges, axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1)
    least, most = np.full(len(unique), len(areas)), np.full(len(unique), -1)
    np.minimum.at(least, edge_of, owners)
    np.maximum.at(most, edge_of, owners)
    border = least != most
    together = unique[border]
    return np.vstack([together, _near_another(unique[~border], least[~border], areas)])


def _near_another(
    edges: "NDArray[np.float64]", owners: "NDArray[np.int64]", areas: Sequence[shapely.Geometry]
) -> "NDArray[np.float64]":
    """What of these edges lies within `GAP_M` of an area other than their owner's, in pieces of at most that length."""
    lines = shapely.linestrings(edges.reshape(-1, 2, 2))
    index = shapely.STRtree(lines)
    near = [edges[:0]]
    for number, area in enumerate(areas):
        west, south, east, north = shapely.bounds(area)
        hits = index.query(shapely.box(west - GAP_M, south - GAP_M, east + GAP_M, north + GAP_M))
        hits = hits[owners[hits] != number]
        shapely.prepare(area)
        hits = hits[shapely.dwithin(area, lines[hits], GAP_M)]
        # A long edge may only touch the area with its end: what counts is the part that is near.
        corners, line_of = shapely.get_coordinates(shapely.segmentize(lines[hits], GAP_M), return_index=True)
        pieces = np.hstack([corners[:-1], corners[1:]])[line_of[:-1] == line_of[1:]]
        near.append(pieces[shapely.dwithin(area, shapely.linestrings(pieces.reshape(-1, 2, 2)), GAP_M)])
    return np.vstack(near)


def _chunked(edges: "NDArray[np.float64]") -> "NDArray[np.object_]":
    """The edges as lines of at most `_CHUNK` edges, so that the index is small and its answers are short."""
    if not len(edges):
        return np.empty(0, dtype=object)
    merged = shapely.line_merge(shapely.multilinestrings(shapely.linestrings(edges.reshape(-1, 2, 2))))
    lines = []
    for line in shapely.get_parts(merged):
        corners = shapely.get_coordinates(line)
        lines += [shapely.linestrings(corners[at : at + _CHUNK + 1]) for at in range(0, len(corners) - 1, _CHUNK)]
    return np.array(lines, dtype=object)
