"""Areas cut into a quadtree's leaves: which area holds a point, and how much of each lies within a polygon.

Invariant: the pieces of an area do not overlap and make up the area; a leaf that one area fills has no geometry.
"""

import math
from collections.abc import Sequence
from itertools import compress
from typing import TypeAlias

import numpy as np
import shapely

MAX_CORNERS = 128
"""A leaf with more corners than this is cut again."""
MAX_PIECES = 4
"""So is one with more pieces: each is asked, at a microsecond."""
MIN_LEAF_M = 125.0
"""A leaf this small is not cut further, however much is in it."""
MAX_LEAF_M = 8_192.0
"""So that no piece is much larger than the shapes it is cut with."""
MAX_ASKED_CORNERS = 256
"""A polygon that is asked for and has more corners is drawn simpler first."""
_SIMPLER = (0.001, 0.003, 0.01)
"""How much simpler it may be drawn, as a share of its extent."""
_SIMPLER_WIDTH = 0.02
"""And at most as a share of its mean width: what is long and thin must not lose its shape."""
_SAMPLES = 10_000
"""Points within the polygon, about, where no simpler drawing does."""
_MAX_SIDE = 400
"""Of the grid that they are taken from."""
_ENOUGH_SAMPLES = 500
_SURELY = 1e-9
"""Areas that differ by less, as a share of their square, may do so by rounding."""
AREAL = (3, 6)
"""Geometry types with an area: polygon, multipolygon."""


class Leaf:
    """A square: either `filled` by these areas alone, or with pieces to be asked, and whose each is."""

    __slots__ = ("filled", "owners", "pieces")

    def __init__(self, filled: tuple[int, ...], pieces: Sequence[tuple[int, shapely.Geometry]]):
        self.filled = filled
        self.owners = tuple(owner for owner, _ in pieces)
        self.pieces = np.array([piece for _, piece in pieces], dtype=object)
        """Asked as an array: a geometry by itself costs twice as much as all of them."""


_EMPTY = Leaf((), ())
Node: TypeAlias = "Leaf | tuple[float, float, tuple[Node, Node, Node, Node]]"
"""An inner node: the middle's easting and northing, and its south-west, south-east, north-west, north-east quarters."""


class Quadtree:
    """Immutable once built."""

    def __init__(self, areas: Sequence[shapely.Geometry]):
        self._pieces: list[shapely.Geometry] = []
        self._owners: list[int] = []
        west, south, east, north = shapely.total_bounds(np.array(areas, dtype=object)) if areas else (0, 0, 1, 1)
        side = MIN_LEAF_M
        while side < max(east - west, north - south):
            side *= 2.0
        self._west, self._south, self._side = float(np.floor(west)), float(np.floor(south)), side + 1.0
        self._root = self._cut(self._west, self._south, self._side, list(enumerate(areas)))
        self._sizes = shapely.area(self._pieces)
        self._index = shapely.STRtree(self._pieces)
        self._owner_of = np.array(self._owners, dtype=np.int64)

    def owners(self, easting: float, northing: float) -> tuple[int, ...]:
        """The areas that hold the point; on a shared edge, all that share it."""
        if not (0.0 <= easting - self._west <= self._side and 0.0 <= northing - self._south <= self._side):
            return ()
        node = self._root
        while isinstance(node, tuple):
            middle_east, middle_north, quarters = node
            node = quarters[(easting >= middle_east) + 2 * (northing >= middle_north)]
        if not node.owners:
            return node.filled
        held = shapely.intersects_xy(node.pieces, easting, northing).tolist()
        inside = tuple(compress(node.owners, held))
        return node.filled + inside if node.filled else inside

    def owners_throughout(self, west: float, south: float, side: float) -> tuple[int, ...] | None:
        """The one area that holds all of the square, or none at all; None where it is not so simple."""
        square = shapely.box(west, south, west + side, south + side)
        hits = self._index.query(square, predicate="intersects")
        owners = set(self._owner_of[hits].tolist())
        if len(owners) > 1:
            return None
        held = float(shapely.area(shapely.intersection(self._index.geometries[hits], square)).sum())
        return tuple(owners) if not owners or held >= side * side * (1.0 - _SURELY) else None

    def areas_within(self, polygon: shapely.Geometry) -> dict[int, float]:
        """How many square metres of each area lie within the polygon; areas without any are left out.

        Takes milliseconds whatever the polygon looks like: a star of a thousand corners, cut exactly, takes seconds.
        """
        drawn = _drawn_simpler(polygon)
        if drawn is None:
            return self._sampled_within(polygon)
        polygon = drawn
        shapely.prepare(polygon)
        hits = self._index.query(polygon, predicate="intersects")
        if not len(hits):
            return {}
        pieces = self._index.geometries[hits]
        sizes = self._sizes[hits].copy()
        cut = ~shapely.contains_properly(polygon, pieces)
        sizes[cut] = shapely.area(shapely.intersection(pieces[cut], polygon))
        shares = np.bincount(self._owner_of[hits], weights=sizes)
        return {owner: float(shares[owner]) for owner in np.flatnonzero(shares).tolist()}

    def _sampled_within(self, polygon: shapely.Geometry) -> dict[int, float]:
        """The same by sampling: points of a grid, or the corners where that is too wide for what is so thin."""
        west, south, east, north = shapely.bounds(polygon)
        filled = float(shapely.area(polygon)) / ((east - west) * (north - south))
        side = min(_MAX_SIDE, math.ceil(math.sqrt(_SAMPLES / filled)))
        middles = (np.arange(side) + 0.5) / side
        eastings, northings = (
            axis.ravel() for axis in np.meshgrid(west + middles * (east - west), south + middles * (north - south))
        )
        shapely.prepare(polygon)
        inside = shapely.contains_xy(polygon, eastings, northings)
        points = np.column_stack([eastings[inside], northings[inside]])
        if len(points) < _ENOUGH_SAMPLES:
            points = shapely.get_coordinates(polygon)[:_SAMPLES]
        each = float(shapely.area(polygon)) / len(points)
        found: dict[int, float] = {}
        for easting, northing in points.tolist():
            owners = self.owners(easting, northing)
            for owner in owners:
                found[owner] = found.get(owner, 0.0) + each / len(owners)
        return found

    def _cut(self, west: float, south: float, side: float, areas: list[tuple[int, shapely.Geometry]]) -> Node:
        if not areas:
            return _EMPTY
        whole = side * side
        filled = [owner for owner, area in areas if shapely.area(area) >= whole * (1.0 - 1e-12)]
        corners = sum(shapely.get_num_coordinates(area) for owner, area in areas if owner not in filled)
        few = corners <= MAX_CORNERS and len(areas) - len(filled) <= MAX_PIECES
        if side <= MAX_LEAF_M and (few or side <= MIN_LEAF_M):
            pieces = _valid([(owner, area) for owner, area in areas if owner not in filled])
            leaf = Leaf(tuple(filled), pieces)
            shapely.prepare(leaf.pieces)
            self._keep(filled, shapely.box(west, south, west + side, south + side), pieces)
            return leaf
        half = side / 2.0
        middle_east, middle_north = west + half, south + half
        corners_at = ((west, south), (middle_east, south), (west, middle_north), (middle_east, middle_north))
        parts: tuple[list[tuple[int, shapely.Geometry]], ...] = ([], [], [], [])
        for owner, area in areas:
            for quarter, part in zip(parts, _quarters(area, corners_at, half), strict=True):
                if part is not None:
                    quarter.append((owner, part))
        quarters = [self._cut(*at, half, quarter) for at, quarter in zip(corners_at, parts, strict=True)]
        return (middle_east, middle_north, (quarters[0], quarters[1], quarters[2], quarters[3]))

    def _keep(self, filled: list[int], square: shapely.Geometry, pieces: list[tuple[int, shapely.Geometry]]) -> None:
        for owner in filled:
            self._owners.append(owner)
            self._pieces.append(square)
        for owner, piece in pieces:
            self._owners.append(owner)
            self._pieces.append(piece)


def _drawn_simpler(polygon: shapely.Geometry) -> shapely.Geometry | None:
    """The polygon, or one with fewer corners that differs from it by a hundredth of its extent at most; None: none."""
    if shapely.get_num_coordinates(polygon) <= MAX_ASKED_CORNERS:
        return polygon
    west, south, east, north = shapely.bounds(polygon)
    most = _SIMPLER_WIDTH * 2.0 * shapely.area(polygon) / shapely.length(polygon)
    for share in _SIMPLER:
        simpler = shapely.simplify(polygon, min(most, share * max(east - west, north - south)))
        if shapely.get_num_coordinates(simpler) <= MAX_ASKED_CORNERS:
            return simpler
    return None


def _quarters(
    area: shapely.Geometry, corners: Sequence[tuple[float, float]], side: float
) -> list[shapely.Geometry | None]:
    """What of the area lies in each of the four squares that make up the one it lies in; None: nothing.

    Clipping is fast and now and then wrong, which shows in the sum; the overlay is right and three times slower.
    """
    parts = [shapely.clip_by_rect(area, west, south, west + side, south + side) for west, south in corners]
    sizes = shapely.area(parts).tolist()
    if abs(sum(sizes) - shapely.area(area)) > _SURELY * side * side:
        [(_, area)] = _valid([(0, area)])
        parts = [
            shapely.intersection(area, shapely.box(west, south, west + side, south + side)) for west, south in corners
        ]
        sizes = shapely.area(parts).tolist()
    return [_areal(part) if size > 0.0 else None for part, size in zip(parts, sizes, strict=True)]


def _valid(pieces: list[tuple[int, shapely.Geometry]]) -> list[tuple[int, shapely.Geometry]]:
    """The same places as valid geometries."""
    if not pieces or shapely.is_valid([piece for _, piece in pieces]).all():
        return pieces
    return [
        (owner, piece if shapely.is_valid(piece) else _areal(shapely.make_valid(piece, method="structure")))
        for owner, piece in pieces
    ]


def _areal(part: shapely.Geometry) -> shapely.Geometry:
    """It without the lines and points that cutting along an edge leaves."""
    if shapely.get_type_id(part) in AREAL:
        return part
    inner = shapely.get_parts(shapely.get_parts(part))
    return shapely.multipolygons(inner[shapely.get_type_id(inner) == 3])
