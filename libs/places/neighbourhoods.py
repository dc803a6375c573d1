"""The neighbourhood areas inside a force: a second layer, of which a place has one or none.

Invariant: they decide nothing. Whose a place is, the atlas says; these say who of that force looks after it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import shapely

from libs.places.quadtree import AREAL, Quadtree


class Neighbourhood(NamedTuple):
    id: str
    """As its publisher names it: `E05009543`."""
    name: str


class Neighbourhoods:
    """A force's, of one generation, in memory. Never changes."""

    def __init__(self, generation: str, areas: Mapping[Neighbourhood, shapely.Geometry]):
        """Areas in EPSG:27700. Raises ValueError for one that is no valid polygon or multipolygon."""
        self.generation = generation
        self._known = tuple(sorted(areas))
        for one in self._known:
            if shapely.get_type_id(areas[one]) not in AREAL or not shapely.is_valid(areas[one]):
                raise ValueError(f"the area of {one.id} is no valid polygon or multipolygon")
        self._tree = Quadtree([shapely.force_2d(areas[one]) for one in self._known])

    def __len__(self) -> int:
        return len(self._known)

    def at(self, easting: float, northing: float) -> Neighbourhood | None:
        """The one at the place; on an edge, the first by id."""
        return min((self._known[owner] for owner in self._tree.owners(easting, northing)), default=None)
