"""How far a place is from the nearest border between two areas, and whose it is where all around it is.

Invariant: a border is where two areas meet: an edge they share exactly, or an edge that lies within `GAP_M` of another
area, for areas that were not drawn together. The coast is no border.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import shapely

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAP_M = 25.0
_CHUNK = 8
"""Edges of one line in the index."""
_CELLS_M = (4_096.0, 1_024.0, 256.0, 64.0)
"""Sides of the cells, each cut into sixteen of the next where too many edges can be nearest."""
_FEW = 8
"""As many are looked at one by one."""
_MAX_CELLS = 100_000
"""Of each side that are remembered: some 100 MB if ever so many were asked for. Then they are found anew."""
_SURELY_M = 1e-6
"""What is nearer by less may be so by rounding."""

Owners: TypeAlias = tuple[int, ...]
Throughout: TypeAlias = Callable[[float, float, float], Owners | None]
"""Of a square (west, south, side): who holds all of it; None where that is not so simple."""
_Near: TypeAlias = tuple[tuple[tuple[float, float, float, float, float, float], ...], Owners | None]
"""Edges: one end, the way to the other, and that divided by its squared length. And who holds all of the cell."""


class _Cut:
    """A cell that is cut, and the edges that can be nearest in it."""

    __slots__ = ("edges",)

    def __init__(self, edges: "NDArray[np.float64]"):
        self.edges = edges


class Borders:
    """The borders between areas. The edges that can be nearest are remembered by cells, smaller ones where those are
    many, and found when first asked for (a tenth of a millisecond); after that a place has its distance in a few
    microseconds, which it takes shapely to make a point of it. So is whose all of the cell is, where `throughout` says
    so: most places are nowhere near a border, and no geometry needs to be asked about them."""

    def __init__(self, areas: Sequence[shapely.Geometry], throughout: Throughout = lambda *_: None):
        self._throughout = throughout
        self._lines = _chunked(_shared_edges(areas))
        self._index = shapely.STRtree(self._lines)
        self._levels: tuple[tuple[float, dict[tuple[float, float], _Near | _Cut]], ...] = tuple(
            (side, {}) for side in _CELLS_M
        )
        bounds = shapely.total_bounds(np.array(areas, dtype=object)) if len(areas) else (0.0, 0.0, 0.0, 0.0)
        self._bounds = tuple(float(bound) for bound in bounds)

    @property
    def length_m(self) -> float:
        return float(shapely.length(self._lines).sum())

    def distance(self, easting: float, northing: float) -> float | None:
        """Metres to the nearest border; None where there is no border at all."""
        return self.distance_and_owners(easting, northing)[0]

    def distance_and_owners(self, easting: float, northing: float) -> tuple[float | None, Owners | None]:
        """The same, and who holds the place, where all around it is theirs; None: the areas must be asked."""
        if not len(self._lines):
            return None, None
        near: _Near | _Cut | None = None
        for side, cells in self._levels:
            around = near
            cell = (easting // side, northing // side)
            near = cells.get(cell)
            if near is None:
                near = self._find(side, cell, around)
            if isinstance(near, tuple):
                break
        assert isinstance(near, tuple)
        least = math.inf
        edges, owners = near
        for x, y, along_x, along_y, unit_x, unit_y in edges:
            from_x, from_y = easting - x, northing - y
            part = from_x * unit_x + from_y * unit_y
            if part >= 1.0:
                from_x -= along_x
                from_y -= along_y
            elif part > 0.0:
                from_x -= part * along_x
                from_y -= part * along_y
            square = from_x * from_x + from_y * from_y
            if square < least:
                least = square
        return math.sqrt(least), owners

    def _find(self, side: float, cell: tuple[float, float], around: _Near | _Cut | None) -> _Near | _Cut:
        """The edges that can be nearest within this cell, of those of the cell around it."""
        west, south = cell[0] * side, cell[1] * side
        reachable = around.edges if isinstance(around, _Cut) else self._reachable(west, south, side)
        near = _can_be_nearest(reachable, west, south, side)
        left, low, right, high = self._bounds
        far = not (left - 1e5 <= west <= right + 1e5 and low - 1e5 <= south <= high + 1e5)
        found: _Near | _Cut
        if len(near) <= _FEW or side == _CELLS_M[-1] or far:
            along = near[:, 2:] - near[:, :2]
            unit = along / np.maximum(np.square(along).sum(axis=1, keepdims=True), 1e-18)
            edges = tuple(map(tuple, np.hstack([near[:, :2], along, unit]).tolist()))
            found = (edges, None if far else self._throughout(west, south, side))
        else:
            found = _Cut(near)
        if not far:  # the memory is bounded
            cells = self._levels[_CELLS_M.index(side)][1]
            if len(cells) >= _MAX_CELLS:
                cells.clear()
            cells[cell] = found
        return found

    def _reachable(self, west: float, south: float, side: float) -> "NDArray[np.float64]":
        """Every edge that is nearest to any place in the square, and more."""
        _, distances = self._index.query_nearest(
            shapely.Point(west + side / 2.0, south + side / 2.0), return_distance=True
        )
        # Nothing in the square is further from a border than its centre is, and half a diagonal more.
        reach = float(distances[0]) + side * math.sqrt(0.5)
        square = shapely.box(west, south, west + side, south + side)
        hits = self._index.query(square, predicate="dwithin", distance=reach + 1.0)
        corners, line_of = shapely.get_coordinates(self._lines[np.sort(hits)], return_index=True)
        edges: NDArray[np.float64] = np.hstack([corners[:-1], corners[1:]])[line_of[:-1] == line_of[1:]]
        return edges


_TICKS = np.linspace(0.0, 1.0, 5)
_SAMPLES = np.stack(np.meshgrid(_TICKS, _TICKS), axis=-1).reshape(-1, 2)
_CORNERS = [0, 4, 20, 24]
"""Of the samples, those at the square's corners."""


def _can_be_nearest(edges: "NDArray[np.float64]", west: float, south: float, side: float) -> "NDArray[np.float64]":
    """The edges without those to which a place on a border is nearer from everywhere in the square.

    The places that are nearer to a point than to an edge are a convex region (an intersection of half-planes), so that
    it holds the square if it holds its corners. The points tried are those nearest to places all over the square.
    """
    samples = _SAMPLES * side + (west, south)
    start, along = edges[:, :2], edges[:, 2:] - edges[:, :2]
    squares = np.maximum(np.square(along).sum(axis=1), 1e-18)
    part = np.clip(((samples[:, None] - start) * along).sum(axis=2) / squares, 0.0, 1.0)
    foot = start + part[:, :, None] * along
    distance = np.sqrt(np.square(samples[:, None] - foot).sum(axis=2))
    nearest = foot[np.arange(len(samples)), distance.argmin(axis=1)]
    tried = np.sqrt(np.square(samples[_CORNERS][:, None] - nearest).sum(axis=2))
    beaten = (distance[_CORNERS][:, :, None] > tried[:, None] + _SURELY_M).all(axis=0).any(axis=1)
    left: NDArray[np.float64] = edges[~beaten]
    return left


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
    order = np.lexsort(edges.T)
    edges, owners = edges[order], owners[order]
    first = np.flatnonzero(np.append(True, (edges[1:] != edges[:-1]).any(axis=1)))
    unique, least, most = edges[first], np.minimum.reduceat(owners, first), np.maximum.reduceat(owners, first)
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
