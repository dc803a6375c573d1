"""Where → whose: a generation of areas in memory, asked for a point in microseconds and for a shape by its shares.

Invariant: an Atlas never changes after `build`, and answers alike from every thread.

The areas are cut once into the leaves of a quadtree, each small enough that a handful of corners decides; a point
descends to its leaf, unless all around it is known to be one area's. Borders are the edges that two areas have in
common, or nearly so (`GAP_M`): never the coast, nor the edge towards a country that has no area here.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import shapely

from libs.events.types.shapes import Civic, Point, Postcode, Shape
from libs.places import postcodes
from libs.places.borders import Borders
from libs.places.grid import on_grid, to_grid
from libs.places.outline import Outline, outline
from libs.places.quadtree import AREAL, Quadtree
from libs.places.settlements import extent_of

NOTICEABLE = 0.05
"""A second candidate at least this likely makes a location too close to say."""
CONFIDENT = 0.9
"""So does less confidence than this."""
CERTAINTY_PERCENT = 95.0
"""Of a shape whose source does not say: what RFC 5491 (section 5.1) asks of it."""
WIDER = 3.0
"""Whoever is not within the shape is within a circle that reaches so many times as far."""
MUCH_LARGER = 100.0
"""A location that reaches so many times further than the border may be wrong is not grown by that."""
_CORNERS = 32
_TURN = np.linspace(0.0, 2.0 * math.pi, _CORNERS, endpoint=False)
_UNIT_DISC = np.column_stack([np.cos(_TURN), np.sin(_TURN)])


class Candidate(NamedTuple):
    force: str
    share: float
    """Of the location's area, 0–1; of a point, all to the side on which it was drawn. 0: it is only near."""
    likelihood: float
    """How likely the place is this force's, 0–1: its share of the location grown by `accuracy_m` on all sides, which
    is how far the drawn border may be wrong. They sum to 1: what lies in no area counts for nobody."""


class Located(NamedTuple):
    """Whose a location is.

    `candidates` are sorted by share, the largest first (equal shares by likelihood, then by name), and empty when the
    location lies in no area and near none; shares sum to less than 1 where it lies partly outside all of them.

    `too_close` is the rule that asks for a person: the location's centre lies within the generation's `accuracy_m` of
    a border between two forces, or a second candidate has a likelihood of at least `NOTICEABLE`, or the confidence is
    less than `CONFIDENT`. A postcode is never too close: the directory says whose it is.
    """

    candidates: tuple[Candidate, ...]
    border_m: float | None
    """From the location's centre to the nearest border between two forces, metres; None where there is none."""
    too_close: bool
    outside: bool
    """In no force's area."""
    confidence: float
    """That the place is the first candidate's, 0–1: c · L + (1 − c) · W. c is how certain the source is of its shape,
    L the first candidate's likelihood, W the same for the circle around the centre that reaches `WIDER` times as far as
    the shape, where whoever is not within the shape is taken to be. A point has no size to be wrong about, so c does
    not count for it. 0 without a candidate."""


_OUTSIDE = Located((), None, False, True, 0.0)


class Atlas:
    """A generation of areas, each with the force it belongs to."""

    def __init__(self, generation: str, accuracy_m: float, forces: tuple[str, ...], tree: Quadtree, borders: Borders):
        self.generation = generation
        self.accuracy_m = accuracy_m
        """How far from a drawn border the truth may lie, metres."""
        self.forces = forces
        self._tree = tree
        self._borders = borders
        self._single = tuple((Candidate(force, 1.0, 1.0),) for force in forces)

    @classmethod
    def build(cls, generation: str, accuracy_m: float, areas: Mapping[str, shapely.Geometry]) -> "Atlas":
        """Make an atlas of areas in EPSG:27700 (seconds for the whole country: not for an event loop).

        Raises ValueError for an area that is no valid polygon or multipolygon, and for an accuracy that is no length.
        """
        if not (math.isfinite(accuracy_m) and accuracy_m >= 0.0):
            raise ValueError("accuracy_m must be a length in metres")
        forces = tuple(sorted(areas))
        for force in forces:
            area = areas[force]
            if shapely.get_type_id(area) not in AREAL or shapely.is_empty(area):
                raise ValueError(f"the area of {force} is no polygon or multipolygon")
            if not shapely.is_valid(area):
                raise ValueError(f"the area of {force} is not valid: {shapely.is_valid_reason(area)}")
        geometries = [shapely.force_2d(areas[force]) for force in forces]
        tree = Quadtree(geometries)
        return cls(generation, accuracy_m, forces, tree, Borders(geometries, tree.owners_throughout))

    def locate(self, shape: Shape, certainty_percent: float | None = None) -> Located | None:
        """Whose the shape is; None when it holds no usable place (an unknown postcode, an address in no known town).

        `certainty_percent` is how sure the source is that the shape holds the place. Raises UnusableShape for what is
        no place on earth.
        """
        if isinstance(shape, Point) and on_grid(shape.lat, shape.lon):  # first, and by itself: most are
            return self.locate_grid(*to_grid(shape.lat, shape.lon))
        if isinstance(shape, Postcode):
            return self.locate_postcode(shape.postcode)
        if isinstance(shape, Civic):
            return self._locate_address(shape)
        drawn = outline(shape)
        if drawn is None:
            return _OUTSIDE
        if drawn.area is None:
            return self.locate_grid(drawn.easting, drawn.northing)
        return self.locate_outline(drawn, certainty_percent)

    def locate_postcode(self, postcode: str) -> Located | None:
        """Whose the postcode is: what the directory says, or where it lies if the atlas does not know that force.

        Those of Scotland and Northern Ireland are outside, wherever they seem to lie: the directory has the latter on
        the Irish Grid, by which Belfast would be in Cheshire.
        """
        place = postcodes.lookup(postcode)
        if place is None:
            return None
        if place.district.startswith(("S", "N")):
            return _OUTSIDE
        if place.force is not None and place.force in self.forces:
            border_m = self._borders.distance(place.easting, place.northing)
            return Located((Candidate(place.force, 1.0, 1.0),), border_m, False, False, 1.0)
        return self.locate_grid(place.easting, place.northing)

    def _locate_address(self, address: Civic) -> Located | None:
        """By its postcode; without a known one by its town, which is anywhere within it."""
        if address.postcode is not None and (found := self.locate_postcode(address.postcode)) is not None:
            return found
        town = extent_of(address.town) if address.town is not None else None
        return None if town is None else self.locate_outline(town)

    def locate_grid(self, easting: float, northing: float) -> Located:
        """Whose a place on the British National Grid is."""
        border_m, owners = self._borders.distance_and_owners(easting, northing)
        if owners is None:
            owners = self._tree.owners(easting, northing)
        if border_m is not None and border_m < self.accuracy_m:
            share = 1.0 / len(owners) if owners else 0.0
            grown = shapely.polygons(_UNIT_DISC * self.accuracy_m + (easting, northing))
            return self._answer(dict.fromkeys(owners, share), self._parts(grown), border_m, None)
        if not owners:
            return Located((), border_m, False, True, 0.0)
        if len(owners) == 1:
            return Located(self._single[owners[0]], border_m, False, False, 1.0)
        each = dict.fromkeys(owners, 1.0 / len(owners))  # areas that overlap
        return self._answer(each, each, border_m, None)

    def locate_outline(self, drawn: Outline, certainty_percent: float | None = None) -> Located:
        """Whose a shape with an area is."""
        border_m = self._borders.distance(drawn.easting, drawn.northing)
        shares = self._parts(drawn.area)
        reach = _reach(drawn)
        if border_m is None or border_m >= reach + self.accuracy_m or self.accuracy_m < reach / MUCH_LARGER:
            likelihoods = shares
        else:
            likelihoods = self._parts(shapely.buffer(drawn.area, self.accuracy_m, quad_segs=4))
        certain = CERTAINTY_PERCENT if certainty_percent is None else min(max(certainty_percent, 0.0), 100.0)
        wider = None
        if certain < 100.0 and border_m is not None and border_m < WIDER * reach + self.accuracy_m:
            wider = self._parts(shapely.polygons(_UNIT_DISC * (WIDER * reach + self.accuracy_m) + _centre(drawn)))
        return self._answer(shares, likelihoods, border_m, wider, certain / 100.0)

    def _parts(self, area: shapely.Geometry) -> dict[int, float]:
        """Each area's share of this one."""
        whole = float(shapely.area(area))
        inside = self._tree.areas_within(area)
        total = max(whole, sum(inside.values()))
        return {owner: part / total for owner, part in inside.items()} if total > 0.0 else {}

    def _answer(
        self,
        shares: Mapping[int, float],
        likelihoods: Mapping[int, float],
        border_m: float | None,
        wider: Mapping[int, float] | None,
        certain: float = 1.0,
    ) -> Located:
        known = sum(likelihoods.values()) or 1.0
        rounded = {
            owner: (round(shares.get(owner, 0.0), 6), round(likelihoods.get(owner, 0.0) / known, 6))
            for owner in likelihoods.keys() | shares.keys()
        }
        ranked = sorted(rounded.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
        candidates = tuple(Candidate(self.forces[owner], *both) for owner, both in ranked if any(both))
        if not candidates:
            return Located((), border_m, False, True, 0.0)
        confidence = candidates[0].likelihood
        if wider is not None:
            beyond = wider.get(ranked[0][0], 0.0) / (sum(wider.values()) or 1.0)
            confidence = certain * confidence + (1.0 - certain) * beyond
        too_close = (
            (border_m is not None and border_m < self.accuracy_m)
            or any(candidate.likelihood >= NOTICEABLE for candidate in candidates[1:])
            or confidence < CONFIDENT
        )
        return Located(candidates, border_m, too_close, False, round(confidence, 6))


def _centre(drawn: Outline) -> tuple[float, float]:
    return drawn.easting, drawn.northing


def _reach(drawn: Outline) -> float:
    """From its centre to its furthest corner, metres."""
    away = shapely.get_coordinates(drawn.area) - _centre(drawn)
    return float(np.sqrt(np.square(away).sum(axis=1).max()))
