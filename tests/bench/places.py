"""B6: where → force, on real boundaries and real points, in the router's process.

Ours answers more than its peers are asked for: candidates, and the distance to the nearest border. Beside them all get
metres on the grid; against the limit ours gets a Point in degrees, as the router has it. Times are of the processor,
ours and shapely's of this thread, PostGIS's of its backend.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import shapely

from libs.events.types.shapes import Point
from libs.places import Atlas
from libs.places.grid import to_grid, to_wgs84
from services.directory.areas import load_areas
from tests.bench.accuracy import BGC_ACCURACY_M, caller_points
from tests.bench.measure import Result, Run
from tests.bench.peers.postgis import PACKAGE, PostGIS, postgis
from tests.places import real_boundaries

POINTS = 20_000
MANY = 10_000
"""Boundaries in memory."""
LIMIT_US = 20.0

Places = Sequence[tuple[float, float]]
Areas = Mapping[str, shapely.Geometry]


def run(runs: int, tell: Callable[[str], None]) -> list[Result]:
    """Nothing, and a sentence, where the real places are not here."""
    try:
        areas, callers = real_boundaries(), caller_points()
    except FileNotFoundError:
        tell("B6 skipped: ../shared/data, the real boundaries and places, is not here")
        return []
    chosen = random.Random(1285).sample(callers, POINTS)
    places = [to_grid(place.lat, place.lon) for place in chosen]
    with postgis() as peer:
        if peer is None:
            tell(f"B6: PostGIS is not here and left out (Debian's {PACKAGE})")
        return [*_real(areas, places, peer, runs, tell), *_many(places, runs, tell), *_shipped(places, runs, tell)]


def _real(areas: Areas, places: Places, peer: PostGIS | None, runs: int, tell: Callable[[str], None]) -> list[Result]:
    atlas = Atlas.build("pfa43-bgc", BGC_ACCURACY_M, areas)
    loop = _Loop(areas)
    if peer is not None:
        peer.load(areas, places)
        _, found = peer.lookups(places[:2_000])
        agree = sum(loop.owner(*place) == force for place, force in zip(places, found, strict=False))
        assert agree >= 1_990, f"PostGIS and shapely agree about {agree} of 2,000 places only"
    tell(f"B6: asked for the first time, {_first(atlas, places):.0f} µs: the borders near a place are found then")
    single, shapelys, statements, joins = [], [], [], []
    for number in range(1, runs + 1):
        single.append(_lookup(atlas, places))
        ours, theirs = _time(atlas.locate_grid, places), _time(loop.owner, places)
        shapelys.append(Run(1e6 / ours, 1e6 / theirs))
        said = f"B6 run {number}: a Point {single[-1].ours:.1f} µs; on the grid {ours:.1f} µs, "
        said += f"STRtree and contains {theirs:.1f} µs"
        if peer is not None:
            statement = peer.lookups(places)[0] / len(places) * 1e6
            join = peer.join() / len(places) * 1e6
            statements.append(Run(1e6 / ours, 1e6 / statement))
            joins.append(Run(1e6 / ours, 1e6 / join))
            said += f", PostGIS {statement:.1f} µs a statement, {join:.1f} µs a row of a join"
        tell(said)
    results = [
        Result("B6 a lookup, 43 areas", "µs", "the limit", 1, single, "<="),
        Result("B6 lookups, 43 areas", "1/s", "shapely: STRtree, then contains", 1, shapelys),
    ]
    if peer is not None:
        results += [
            Result(
                "B6 lookups, 43 areas", "1/s", "PostGIS 3.3: a prepared statement each, ST_Contains", 10, statements
            ),
            Result("B6 lookups, 43 areas", "1/s", "PostGIS 3.3: one join of all places, ST_Contains", 10, joins),
        ]
    return results


def _many(places: Places, runs: int, tell: Callable[[str], None]) -> list[Result]:
    """Ten thousand boundaries that make up the country, each around a real place."""
    real = np.unique(np.round(places), axis=0)
    seeds = real[np.linspace(0, len(real) - 1, MANY).astype(int)]
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(seeds)))
    assert len(cells) == MANY
    began = time.thread_time()
    atlas = Atlas.build("many", BGC_ACCURACY_M, {f"area-{at}": cell for at, cell in enumerate(cells)})
    built_s = time.thread_time() - began
    tell(f"B6: {MANY:,} areas, built in {built_s:.1f} s; asked for the first time, {_first(atlas, places):.0f} µs")
    borders = [atlas.locate_grid(*place).border_m or 0.0 for place in places]
    clear = [place for place, away in zip(places, borders, strict=True) if away >= BGC_ACCURACY_M]
    close = [place for place, away in zip(places, borders, strict=True) if away < BGC_ACCURACY_M]
    share = len(close) / len(places)
    tell(f"B6: {share:.1%} of the places are too close to a border to say: {_first(atlas, close):.0f} µs each")
    single = []
    for number in range(1, runs + 1):
        single.append(_lookup(atlas, clear))
        tell(f"B6 run {number}: {MANY:,} areas, the other places {single[-1].ours:.1f} µs")
    return [Result(f"B6 a lookup, {MANY:,} areas, not too close", "µs", "the limit", 1, single, "<=")]


def _shipped(places: Places, runs: int, tell: Callable[[str], None]) -> list[Result]:
    shipped = load_areas()
    atlas = Atlas.build(shipped.generation, shipped.accuracy_m, shipped.areas)
    _first(atlas, places)
    single = []
    for number in range(1, runs + 1):
        single.append(_lookup(atlas, places))
        tell(f"B6 run {number}: the shipped areas, {single[-1].ours:.1f} µs")
    return [Result("B6 a lookup, shipped areas", "µs", "the limit", 1, single, "<=")]


class _Loop:
    """What one writes first: an STRtree of the areas, then contains, of prepared geometries."""

    def __init__(self, areas: Areas):
        self._names = list(areas)
        self._areas = list(areas.values())
        shapely.prepare(self._areas)
        self._tree = shapely.STRtree(self._areas)

    def owner(self, easting: float, northing: float) -> str | None:
        point = shapely.Point(easting, northing)
        for at in self._tree.query(point):
            if self._areas[at].contains(point):
                return self._names[at]
        return None


def _first(atlas: Atlas, places: Places) -> float:
    return _time(atlas.locate_grid, places)


def _lookup(atlas: Atlas, places: Places) -> Run:
    points = [Point(lat=lat, lon=lon) for lat, lon in (to_wgs84(*place) for place in places)]
    began = time.thread_time()
    for point in points:
        atlas.locate(point)
    return Run((time.thread_time() - began) / len(points) * 1e6, LIMIT_US)


def _time(ask: Callable[[float, float], object], places: Places) -> float:
    """Microseconds of this thread's time a place."""
    began = time.thread_time()
    for easting, northing in places:
        ask(easting, northing)
    return (time.thread_time() - began) / len(places) * 1e6
