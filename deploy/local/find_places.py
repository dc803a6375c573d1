"""Finds, in the shipped postcodes, places inside each force, near its borders, and right at them.

python -m deploy.local.find_places FILE FORCE…
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

from deploy.local.places import ForcePlaces, Place
from libs.places.grid import to_wgs84
from libs.places.postcodes import LETTERS, districts, read_letter

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = 60_000
"""Postcodes of a force that are looked at: enough to find its borders."""
EACH = 12
AT_THE_BORDER_M = 80.0
NEAR_THE_BORDER_M = (200.0, 600.0)
INSIDE_M = 3_000.0
"""Distances to the next postcode of another force."""


class _Points(NamedTuple):
    codes: NDArray[np.bytes_]
    xy: NDArray[np.float64]
    force: NDArray[np.str_]


def find(forces: Sequence[str]) -> dict[str, ForcePlaces]:
    points = _read()
    return {force: _find_one(points, force) for force in forces}


def _read() -> _Points:
    """Every postcode of England and Wales that has a place."""
    force_of = districts()
    codes, xy, force = [], [], []
    for letter in LETTERS:
        known = read_letter(letter)
        if known is None:
            continue
        names = np.array([force_of.get(district) or "" for district in known.districts])[known.district]
        usable = (names != "") & ~np.isnan(known.eastings) & ~np.isnan(known.northings)
        codes.append(known.codes[usable])
        xy.append(np.column_stack((known.eastings[usable], known.northings[usable])).astype(float))
        force.append(names[usable])
    return _Points(np.concatenate(codes), np.concatenate(xy), np.concatenate(force))


def _find_one(points: _Points, force: str) -> ForcePlaces:
    random = Random(force)  # noqa: S311 (the same places each time)
    own = np.flatnonzero(points.force == force)
    if not len(own):
        return ForcePlaces([], [], [])
    if len(own) > SAMPLE:
        own = own[np.sort(np.array(random.sample(range(len(own)), SAMPLE)))]
    low, high = points.xy[own].min(axis=0) - 2 * INSIDE_M, points.xy[own].max(axis=0) + 2 * INSIDE_M
    others = np.flatnonzero((points.force != force) & ((points.xy > low) & (points.xy < high)).all(axis=1))
    tree = shapely.STRtree(shapely.points(points.xy[others]))
    (asked, nearest), distance = tree.query_nearest(
        shapely.points(points.xy[own]), return_distance=True, all_matches=False
    )
    places = [
        _place(points, own[at], str(points.force[others[near]]), float(metres))
        for at, near, metres in zip(asked, nearest, distance, strict=True)
    ]
    random.shuffle(places)
    low_m, high_m = NEAR_THE_BORDER_M
    return ForcePlaces(
        inside=[place for place in places if place.next_m > INSIDE_M][:EACH],
        near=[place for place in places if low_m < place.next_m < high_m][:EACH],
        border=[place for place in places if 0 < place.next_m < AT_THE_BORDER_M][:EACH],
    )


def _place(points: _Points, at: np.int64, next_force: str, next_m: float) -> Place:
    lat, lon = to_wgs84(*points.xy[at])
    return Place(round(lat, 6), round(lon, 6), _spelt(points.codes[at]), next_force, round(next_m, 1))


def _spelt(code: bytes) -> str:
    text = code.decode().replace(" ", "")
    return f"{text[:-3]} {text[-3:]}"


def main() -> None:
    kept = Path(sys.argv[1])
    draft = kept.with_suffix(".draft")
    draft.write_text(json.dumps(find(sys.argv[2:])))
    draft.replace(kept)


if __name__ == "__main__":
    main()
