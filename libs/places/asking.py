"""What to ask a caller whose place is too close to a border to say: a name that he may know on each side."""

from collections.abc import Iterable
from typing import NamedTuple

from libs.events.types.shapes import Civic, Postcode, Shape
from libs.places import postcodes
from libs.places.atlas import Atlas
from libs.places.outline import outline
from libs.places.settlements import extent_of, nearest

FAR_M = 25_000.0
"""Nobody says that he is nearer to what is further away than this."""
AT_MOST = 4
"""More names than this are no question."""


class Landmark(NamedTuple):
    """A town or village, and whose it is."""

    force: str
    name: str
    distance_m: float
    """From the location's centre."""


def centre_of(shape: Shape) -> tuple[float, float] | None:
    """Easting and northing of the location's centre; None for what lies nowhere on the grid.

    Raises UnusableShape for what is no place on earth.
    """
    if isinstance(shape, Civic):
        by_postcode = centre_of(Postcode(postcode=shape.postcode)) if shape.postcode is not None else None
        if by_postcode is not None or shape.town is None:
            return by_postcode
        drawn = extent_of(shape.town)
    elif isinstance(shape, Postcode):
        place = postcodes.lookup(shape.postcode)
        return None if place is None else (place.easting, place.northing)
    else:
        drawn = outline(shape)
    return None if drawn is None else (drawn.easting, drawn.northing)


def landmarks(atlas: Atlas, easting: float, northing: float, forces: Iterable[str]) -> tuple[Landmark, ...]:
    """For each force, in this order, the town or village nearest to the place that is clearly that force's.

    One so close to a border that its own side is in doubt is named only where the force has no other, and no name
    stands for two forces. A force without any within `FAR_M` is left out.
    """
    wanted = tuple(forces)[:AT_MOST]
    clear: dict[str, Landmark] = {}
    doubtful: dict[str, Landmark] = {}
    names: set[str] = set()
    for settlement, away in nearest(easting, northing, FAR_M):
        if len(clear) == len(wanted):
            break
        found = atlas.locate_grid(settlement.easting, settlement.northing)
        force = found.candidates[0].force if found.candidates else None
        if force in wanted and force not in clear and settlement.name not in names:
            landmark = Landmark(force, settlement.name, away)
            if not found.too_close:
                clear[force] = landmark
                names.add(settlement.name)
            else:
                doubtful.setdefault(force, landmark)
    both = {force: mark for force, mark in doubtful.items() if mark.name not in names} | clear
    return tuple(both[force] for force in wanted if force in both)


def question(names: Iterable[str]) -> str | None:
    """In words; None for fewer than two names."""
    *others, last = tuple(names) or ("",)
    return f"Are you nearer {', '.join(others)} or {last}?" if others else None
