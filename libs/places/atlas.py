"""Where → whose: a generation of areas in memory, asked for a point in microseconds and for a shape by its shares.

Invariant: an Atlas never changes after `build`, and answers alike from every thread.

The areas are cut once into the leaves of a quadtree, each small enough that a handful of corners decides; a point
descends to its leaf. Borders are the edges that two areas have in common, or nearly so (`GAP_M`): never the coast, nor
the edge towards a country that has no area here.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import shapely

from libs.events.types.shapes import Civic, Postcode, Shape
from libs.places import postcodes
from libs.places.borders import Borders
from libs.places.outline import outline
from libs.places.quadtree import AREAL, Quadtree

NOTICEABLE_SHARE = 0.05
"""A second candidate with at least this share makes a location too close to say."""
_CORNERS = 32
_TURN = np.linspace(0.0, 2.0 * math.pi, _CORNERS, endpoint=False)
_UNIT_DISC = np.column_stack([np.cos(_TURN), np.sin(_TURN)])


class Candidate(NamedTuple):
    force: str
    share: float
    """Of the location's area, 0–1."""


class Located(NamedTuple):
    """Whose a location is.

    `candidates` are sorted by share, the largest first (equal shares by name), and empty when the location lies in no
    area; shares sum to less than 1 where it lies partly outside all of them.

    `too_close` is the rule that asks for a person: the location's centre lies within the generation's `accuracy_m` of
    a border between two forces, or a second candidate has a share of at least `NOTICEABLE_SHARE`. Within `accuracy_m`
    of a border the shares are those of the location grown by `accuracy_m`, so that they say how likely each side is,
    the drawn border being what it is; the force on whose side the centre was drawn comes first when shares tie.
    A postcode is never too close: the directory says whose it is.
    """

    candidates: tuple[Candidate, ...]
    border_m: float | None
    """From the location's centre to the nearest border between two forces, metres; None where there is none."""
    too_close: bool
    outside: bool
    """In no force's area."""


_OUTSIDE = Located((), None, False, True)


class Atlas:
    """A generation of areas, each with the force it belongs to."""

    def __init__(self, generation: str, accuracy_m: float, forces: tuple[str, ...], tree: Quadtree, borders: Borders):
        self.generation = generation
        self.accuracy_m = accuracy_m
        """How far from a drawn border the truth may lie, metres."""
        self.forces = forces
        self._tree = tree
        self._borders = borders
        self._single = tuple((Candidate(force, 1.0),) for force in forces)

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
        return cls(generation, accuracy_m, forces, Quadtree(geometries), Borders(geometries))

    def locate(self, shape: Shape) -> Located | None:
        """Whose the shape is; None when it holds no usable place (an unknown postcode, an address without one).

        Raises UnusableShape for what is no place on earth.
        """
        if isinstance(shape, (Postcode, Civic)):
            return self.locate_postcode(shape.postcode) if shape.postcode is not None else None
        drawn = outline(shape)
        if drawn is None:
            return _OUTSIDE
        if drawn.area is None:
            return self.locate_grid(drawn.easting, drawn.northing)
        return self._locate_area(drawn.easting, drawn.northing, drawn.area)

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
            return Located((Candidate(place.force, 1.0),), border_m, False, False)
        return self.locate_grid(place.easting, place.northing)

    def locate_grid(self, easting: float, northing: float) -> Located:
        """Whose a place on the British National Grid is."""
        border_m = self._borders.distance(easting, northing)
        if border_m is not None and border_m < self.accuracy_m:
            return self._too_close(easting, northing, shapely.Point(easting, northing), border_m)
        owners = self._tree.owners(easting, northing)
        if not owners:
            return Located((), border_m, False, True)
        if len(owners) == 1:
            return Located(self._single[owners[0]], border_m, False, False)
        share = 1.0 / len(owners)  # areas that overlap
        return Located(tuple(Candidate(self.forces[owner], share) for owner in owners), border_m, True, False)

    def _locate_area(self, easting: float, northing: float, area: shapely.Geometry) -> Located:
        border_m = self._borders.distance(easting, northing)
        if border_m is not None and border_m < self.accuracy_m:
            return self._too_close(easting, northing, area, border_m)
        candidates = self._shares(area, None)
        too_close = len(candidates) > 1 and candidates[1].share >= NOTICEABLE_SHARE
        return Located(candidates, border_m, too_close, not candidates)

    def _too_close(self, easting: float, northing: float, place: shapely.Geometry, border_m: float) -> Located:
        if shapely.get_type_id(place) == 0:
            grown = shapely.polygons(_UNIT_DISC * self.accuracy_m + (easting, northing))
        else:
            grown = shapely.buffer(place, self.accuracy_m, quad_segs=4)
        owners = self._tree.owners(easting, northing)
        candidates = self._shares(grown, owners[0] if owners else None)
        return Located(candidates, border_m, bool(candidates), not candidates)

    def _shares(self, area: shapely.Geometry, first: int | None) -> tuple[Candidate, ...]:
        whole = float(shapely.area(area))
        shares = self._tree.areas_within(area)
        total = max(whole, sum(shares.values()))
        if total <= 0.0:
            return ()
        rounded = {owner: round(inside / total, 6) for owner, inside in shares.items()}
        ranked = sorted(rounded.items(), key=lambda item: (-item[1], item[0] != first, item[0]))
        return tuple(Candidate(self.forces[owner], share) for owner, share in ranked if share > 0.0)
