"""The shares that are stated of an uncertain location, against ten thousand points drawn inside it.

The points are drawn on the ellipsoid, from the shape's own definition, and looked for in the areas as they are: nothing
of what draws the shapes or cuts the areas is used. They are spread evenly (one in each of 100 × 100 cells), so that
what they say is right to a few tenths of a percentage point.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import shapely
from pyproj import Geod

from libs.events.types.shapes import ArcBand, Circle, Ellipse, Polygon, Shape
from libs.places import Atlas
from libs.places.grid import to_grid_many, to_wgs84
from libs.places.national_grid import read_reference
from services.directory.areas import load_areas
from tests.places import real_boundaries

GEOD = Geod(ellps="WGS84")
SIDE = 100
"""Squared: how many points."""
WITHIN = 0.01
STAMFORD = (52.6402, -0.4950)
"""Where four forces meet."""


def _areas() -> dict[str, shapely.Geometry]:
    try:
        return real_boundaries()
    except FileNotFoundError:
        return load_areas().areas


@pytest.fixture(scope="module")
def areas() -> dict[str, shapely.Geometry]:
    return _areas()


@pytest.fixture(scope="module")
def atlas(areas: dict[str, shapely.Geometry]) -> Atlas:
    return Atlas.build("test", 50.0, areas)


@pytest.fixture(scope="module")
def border_places(areas: dict[str, shapely.Geometry]) -> list[tuple[float, float]]:
    """Latitude and longitude of places on the borders, a few on each."""
    names, found = sorted(areas), []
    random = np.random.default_rng(1285)
    tree = shapely.STRtree([areas[name] for name in names])
    for one in names:
        for other in tree.query(areas[one], predicate="intersects"):
            if names[other] > one:
                line = shapely.intersection(shapely.boundary(areas[one]), shapely.boundary(areas[names[other]]))
                length = shapely.length(line)
                if length > 1_000.0:
                    on_it = shapely.line_interpolate_point(shapely.line_merge(line), random.uniform(0.0, length))
                    point = on_it if shapely.get_type_id(on_it) == 0 else None
                    if point is not None and not shapely.is_empty(point):
                        found.append(to_wgs84(point.x, point.y))
    assert len(found) > 10
    return found


def evenly(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates between 0 and 1, one pair in each cell."""
    cells = np.arange(SIDE)
    rows, columns = (axis.ravel() for axis in np.meshgrid(cells, cells))
    return (rows + random.random(SIDE * SIDE)) / SIDE, (columns + random.random(SIDE * SIDE)) / SIDE


def from_centre(lat: float, lon: float, bearings: np.ndarray, metres: np.ndarray) -> np.ndarray:
    lons, lats, _ = GEOD.fwd(np.full_like(bearings, lon), np.full_like(bearings, lat), bearings, metres)
    return to_grid_many(lats, lons)


def a_circle(lat: float, lon: float, random: np.random.Generator) -> tuple[Shape, np.ndarray]:
    radius_m = float(random.uniform(20.0, 5_000.0))
    u, v = evenly(random)
    return Circle(lat=lat, lon=lon, radius_m=radius_m), from_centre(lat, lon, 360.0 * v, radius_m * np.sqrt(u))


def an_ellipse(lat: float, lon: float, random: np.random.Generator) -> tuple[Shape, np.ndarray]:
    major, minor = sorted(random.uniform(20.0, 5_000.0, 2).tolist(), reverse=True)
    turned = float(random.uniform(0.0, 180.0))
    u, v = evenly(random)
    along, across = major * np.sqrt(u) * np.cos(2 * math.pi * v), minor * np.sqrt(u) * np.sin(2 * math.pi * v)
    points = from_centre(lat, lon, turned + np.degrees(np.arctan2(across, along)), np.hypot(along, across))
    return Ellipse(lat=lat, lon=lon, semi_major_m=major, semi_minor_m=minor, orientation_deg=turned), points


def an_arc_band(lat: float, lon: float, random: np.random.Generator) -> tuple[Shape, np.ndarray]:
    inner, outer = sorted(random.uniform(0.0, 8_000.0, 2).tolist())
    start, opening = float(random.uniform(0.0, 360.0)), float(random.uniform(20.0, 360.0))
    u, v = evenly(random)
    points = from_centre(lat, lon, start + opening * v, np.sqrt(inner**2 + u * (outer**2 - inner**2)))
    shape = ArcBand(
        lat=lat,
        lon=lon,
        inner_radius_m=inner,
        outer_radius_m=outer,
        start_angle_deg=start,
        opening_angle_deg=opening,
    )
    return shape, points


def a_polygon(lat: float, lon: float, random: np.random.Generator) -> tuple[Shape, np.ndarray]:
    """A star around the place, of up to a hundred corners; its points are those of a fine raster in degrees."""
    corners = int(random.integers(3, 100))
    turns = np.sort(random.uniform(0.0, 360.0, corners))
    lons, lats, _ = GEOD.fwd(
        np.full(corners, lon), np.full(corners, lat), turns, random.uniform(0.3, 1.0, corners) * 3_000.0
    )
    ring = shapely.Polygon(np.column_stack([lons, lats]))
    west, south, east, north = ring.bounds
    u, v = evenly(random)
    all_lons, all_lats = west + u * (east - west), south + v * (north - south)
    inside = shapely.contains_xy(ring, all_lons, all_lats)
    while inside.sum() < SIDE * SIDE:
        u, v = evenly(random)
        all_lons = np.append(all_lons, west + u * (east - west))
        all_lats = np.append(all_lats, south + v * (north - south))
        inside = shapely.contains_xy(ring, all_lons, all_lats)
    exterior = tuple(zip(lats, lons, strict=True))
    return Polygon(exterior=exterior), to_grid_many(all_lats[inside], all_lons[inside])


@pytest.mark.parametrize("drawn", [a_circle, an_ellipse, an_arc_band, a_polygon])
def test_the_shares_across_a_border_are_those_of_ten_thousand_points_within_one_percentage_point(
    drawn: Callable[[float, float, np.random.Generator], tuple[Shape, np.ndarray]],
    atlas: Atlas,
    areas: dict[str, shapely.Geometry],
    border_places: list[tuple[float, float]],
) -> None:
    random = np.random.default_rng(1285)
    chosen = random.choice(len(border_places), size=min(24, len(border_places)), replace=False)
    crossing = 0
    for lat, lon in [STAMFORD, *(border_places[at] for at in chosen)]:
        away = random.uniform(-300.0, 300.0)
        lon, lat, _ = GEOD.fwd(lon, lat, 45.0, away)
        shape, points = drawn(lat, lon, random)
        found = atlas.locate(shape)
        assert found is not None
        stated = {candidate.force: candidate.share for candidate in found.candidates}
        assert len(points) >= SIDE * SIDE
        near = [force for force, area in areas.items() if shapely.distance(area, shapely.Point(points[0])) < 20_000.0]
        counted = {force: float(shapely.contains_xy(areas[force], points).mean()) for force in near}
        assert stated.keys() <= counted.keys()
        crossing += sum(share > 0.02 for share in counted.values()) > 1
        for force, share in counted.items():
            assert stated.get(force, 0.0) == pytest.approx(share, abs=WITHIN), (shape, force)
    assert crossing >= len(chosen) // 2, "hardly any of the shapes lies across a border"


def test_a_grid_reference_is_shared_as_its_square_is(atlas: Atlas, areas: dict[str, shapely.Geometry]) -> None:
    square = read_reference("TL 34")  # ten kilometres, with Royston and Bassingbourn
    found = atlas.locate(square.polygon)
    assert found is not None
    box = shapely.box(square.easting, square.northing, square.easting + 10_000, square.northing + 10_000)
    for candidate in found.candidates:
        drawn = shapely.area(shapely.intersection(areas[candidate.force], box)) / shapely.area(box)
        assert candidate.share == pytest.approx(drawn, abs=1e-4)
    assert {"cambridgeshire", "hertfordshire"} <= {candidate.force for candidate in found.candidates}
