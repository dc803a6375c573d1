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
CLOSEST = 40
"""Of the pairs of postcodes that face each other over a border, those that may be taken."""
NEAR_M = (200.0, 600.0)
OVER_THE_BORDER_M = 2_000.0
INSIDE_M = 3_000.0
"""Distances to the next postcode of another force."""


class _Points(NamedTuple):
    codes: NDArray[np.bytes_]
    xy: NDArray[np.float64]
    force: NDArray[np.str_]


class _Pairs(NamedTuple):
    """Postcodes of one force, each with the nearest one of the others."""

    own: NDArray[np.int64]
    next: NDArray[np.int64]
    metres: NDArray[np.float64]


def find(forces: Sequence[str]) -> dict[str, ForcePlaces]:
    """Places of each force; at its borders, those with another of `forces` where there are any."""
    points = _read()
    return {force: _find_one(points, force, forces) for force in forces}


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


def _find_one(points: _Points, force: str, forces: Sequence[str]) -> ForcePlaces:
    random = Random(force)  # noqa: S311 (the same places each time)
    own = np.flatnonzero(points.force == force)
    if not len(own):
        return ForcePlaces([], [], [])
    if len(own) > SAMPLE:
        own = own[np.sort(np.array(random.sample(range(len(own)), SAMPLE)))]
    anybody = _pairs(points, own, points.force != force)
    members = _pairs(points, own, (points.force != force) & np.isin(points.force, forces))
    facing = [*_facing(points, members), *_facing(points, anybody)]
    inside = [_place(points, anybody, at) for at in _some(random, np.flatnonzero(anybody.metres > INSIDE_M))]
    low_m, high_m = NEAR_M
    near = np.flatnonzero((anybody.metres > low_m) & (anybody.metres < high_m))
    return ForcePlaces(inside, [_place(points, anybody, at) for at in _some(random, near)], facing[:EACH])


def _pairs(points: _Points, own: NDArray[np.int64], others: NDArray[np.bool_]) -> _Pairs:
    low, high = points.xy[own].min(axis=0) - 2 * INSIDE_M, points.xy[own].max(axis=0) + 2 * INSIDE_M
    around = np.flatnonzero(others & ((points.xy > low) & (points.xy < high)).all(axis=1))
    if not len(around):
        return _Pairs(own[:0], own[:0], np.empty(0))
    tree = shapely.STRtree(shapely.points(points.xy[around]))
    (asked, nearest), metres = tree.query_nearest(
        shapely.points(points.xy[own]), return_distance=True, all_matches=False
    )
    return _Pairs(own[asked], around[nearest], metres)


def _facing(points: _Points, pairs: _Pairs) -> list[Place]:
    """Places half way between two postcodes that face each other over a border: whose they are is too close to say."""
    close = np.argsort(pairs.metres)[:CLOSEST]
    close = close[(pairs.metres[close] > 0) & (pairs.metres[close] < OVER_THE_BORDER_M)]
    _, one_each = np.unique(pairs.next[close], return_index=True)
    return [_place(points, pairs, at, 0.5) for at in close[np.sort(one_each)]]


def _some(random: Random, at: NDArray[np.int64]) -> list[int]:
    return random.sample([int(each) for each in at], min(EACH, len(at)))


def _place(points: _Points, pairs: _Pairs, at: int, way: float = 0.0) -> Place:
    """A pair's own postcode, or some part of the way from there to the other's."""
    here, there = points.xy[pairs.own[at]], points.xy[pairs.next[at]]
    lat, lon = to_wgs84(*(here + (there - here) * way))
    code, force = _spelt(points.codes[pairs.own[at]]), str(points.force[pairs.next[at]])
    return Place(round(lat, 6), round(lon, 6), code, force, round(float(pairs.metres[at]) * (1 - way), 1))


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
