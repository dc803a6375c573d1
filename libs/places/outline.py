"""A location's shape as geometry on the British National Grid, in metres.

Invariant: lengths and bearings are true ones. Circles, ellipses and arc-bands are drawn on the WGS 84 ellipsoid with
geodesics from their centre (so an orientation is from true north, not from the grid's) and then projected; a circle is
a polygon of the same area. A polygon's corners are joined by straight lines on the grid.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely
from pyproj import Geod

from libs.events.types.shapes import ArcBand, Circle, Ellipse, Point, Polygon
from libs.places.grid import EAST, NORTH, SOUTH, WEST, on_grid, to_grid, to_grid_many

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_RADIUS_M = 100_000.0
"""No cell reaches further."""
MAX_CORNERS = 1_000
MAX_EXTENT_DEG = 10.0
"""Of a polygon, north to south or west to east. Also keeps a ring across the antimeridian from circling the earth."""
POINT_LIKE_M = 1.0
"""A radius under this is none: the shape is a point, or as thin as this."""

_GEOD = Geod(ellps="WGS84")
_CORNERS = 64
_TURN = np.linspace(0.0, 2.0 * math.pi, _CORNERS, endpoint=False)
_COS, _SIN = np.cos(_TURN), np.sin(_TURN)
_SAME_AREA = math.sqrt((2.0 * math.pi / _CORNERS) / math.sin(2.0 * math.pi / _CORNERS))
"""A regular polygon of this radius has the area of the unit circle."""

GeometricShape = Point | Circle | Ellipse | ArcBand | Polygon


class UnusableShape(ValueError):
    """The shape cannot be a place on earth. The message is a sentence for whoever sent it."""


class Outline(NamedTuple):
    """A shape on the grid: its centre, and the polygon of its area (None for a point)."""

    easting: float
    northing: float
    area: shapely.Geometry | None


def outline(shape: GeometricShape) -> Outline | None:
    """Draw the shape; None where it lies beyond the grid, so outside every area.

    The centre is the shape's own (point, circle, ellipse) or the centroid of its area (arc-band, polygon: an arc-band's
    origin is the mast, where the caller is not). Raises UnusableShape as `check_shape` does.
    """
    if isinstance(shape, Point):
        _check_place(shape.lat, shape.lon)
        return Outline(*to_grid(shape.lat, shape.lon), None) if on_grid(shape.lat, shape.lon) else None
    check_shape(shape)
    if isinstance(shape, Polygon):
        return _polygon(shape)
    if not on_grid(shape.lat, shape.lon):
        return None
    if isinstance(shape, Circle):
        return _ellipse(shape.lat, shape.lon, shape.radius_m, shape.radius_m, 0.0)
    if isinstance(shape, Ellipse):
        return _ellipse(shape.lat, shape.lon, shape.semi_major_m, shape.semi_minor_m, shape.orientation_deg)
    return _arc_band(shape)


def check_shape(shape: GeometricShape) -> None:
    """Raises UnusableShape for what is no place on earth: coordinates that are not finite or not degrees, negative or
    monstrous radii, an arc-band without width or angle, a polygon with too few or too many corners, without area,
    crossing itself or larger than a country."""
    if isinstance(shape, Polygon):
        _ring(shape)
        return
    _check_place(shape.lat, shape.lon)
    if isinstance(shape, Circle):
        _check_length("radius", shape.radius_m)
    elif isinstance(shape, Ellipse):
        _check_length("semi-major axis", shape.semi_major_m)
        _check_length("semi-minor axis", shape.semi_minor_m)
        _check_angle("orientation", shape.orientation_deg)
    elif isinstance(shape, ArcBand):
        _check_length("inner radius", shape.inner_radius_m)
        _check_length("outer radius", shape.outer_radius_m)
        if shape.outer_radius_m <= shape.inner_radius_m:
            raise UnusableShape("The arc-band's outer radius must be larger than its inner radius.")
        _check_angle("start angle", shape.start_angle_deg)
        if not (_is_finite(shape.opening_angle_deg) and 0.0 < shape.opening_angle_deg <= 360.0):
            raise UnusableShape("The arc-band's opening angle must be more than 0 and at most 360 degrees.")


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except (TypeError, OverflowError):
        return False


def _check_place(lat: float, lon: float) -> None:
    if not (_is_finite(lat) and -90.0 <= lat <= 90.0):
        raise UnusableShape("The latitude must be a number of degrees between -90 and 90.")
    if not (_is_finite(lon) and -180.0 <= lon <= 180.0):
        raise UnusableShape("The longitude must be a number of degrees between -180 and 180.")


def _check_length(name: str, metres: float) -> None:
    if not (_is_finite(metres) and 0.0 <= metres <= MAX_RADIUS_M):
        raise UnusableShape(f"The {name} must be between 0 and {MAX_RADIUS_M:.0f} metres.")


def _check_angle(name: str, degrees: float) -> None:
    if not (_is_finite(degrees) and -360.0 <= degrees <= 360.0):
        raise UnusableShape(f"The {name} must be a number of degrees between -360 and 360.")


def _around(
    lat: float, lon: float, bearings_deg: "NDArray[np.float64]", distances_m: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Grid coordinates of the places at these true bearings and distances from one place."""
    lons, lats, _ = _GEOD.fwd(
        np.full_like(bearings_deg, lon), np.full_like(bearings_deg, lat), bearings_deg, distances_m
    )
    return to_grid_many(lats, lons)


def _ellipse(lat: float, lon: float, major_m: float, minor_m: float, orientation_deg: float) -> Outline:
    easting, northing = to_grid(lat, lon)
    if max(major_m, minor_m) < POINT_LIKE_M:
        return Outline(easting, northing, None)
    along = max(major_m, POINT_LIKE_M) * _SAME_AREA * _COS
    across = max(minor_m, POINT_LIKE_M) * _SAME_AREA * _SIN
    bearings = orientation_deg + np.degrees(np.arctan2(across, along))
    return Outline(easting, northing, shapely.polygons(_around(lat, lon, bearings, np.hypot(along, across))))


def _arc_band(shape: ArcBand) -> Outline:
    if shape.outer_radius_m < POINT_LIKE_M:
        return Outline(*to_grid(shape.lat, shape.lon), None)
    steps = max(8, math.ceil(_CORNERS * shape.opening_angle_deg / 360.0)) + 1
    bearings = shape.start_angle_deg + np.linspace(0.0, shape.opening_angle_deg, steps)
    outer = _around(shape.lat, shape.lon, bearings, np.full(steps, shape.outer_radius_m))
    inner = _around(shape.lat, shape.lon, bearings, np.full(steps, shape.inner_radius_m))
    whole_turn = shape.opening_angle_deg == 360.0
    if whole_turn:
        area = shapely.polygons(outer[:-1], [inner[:-1]] if shape.inner_radius_m >= POINT_LIKE_M else None)
    elif shape.inner_radius_m < POINT_LIKE_M:
        area = shapely.polygons(np.vstack([outer, to_grid(shape.lat, shape.lon)]))
    else:
        area = shapely.polygons(np.vstack([outer, inner[::-1]]))
    return _around_its_centroid(area, to_grid(shape.lat, shape.lon))


def _ring(shape: Polygon) -> "NDArray[np.float64]":
    corners = shape.exterior
    if len(corners) > MAX_CORNERS:
        raise UnusableShape(f"The polygon must have at most {MAX_CORNERS} corners.")
    for lat, lon in corners:
        _check_place(lat, lon)
    ring = np.array(corners, dtype=float).reshape(-1, 2)
    if len(np.unique(ring, axis=0)) < 3:
        raise UnusableShape("The polygon must have at least three different corners.")
    if float(np.ptp(ring, axis=0).max()) > MAX_EXTENT_DEG:
        raise UnusableShape(f"The polygon must not extend over more than {MAX_EXTENT_DEG:.0f} degrees.")
    drawn = shapely.polygons(ring)
    if not shapely.is_valid(drawn) or shapely.area(drawn) == 0.0:
        raise UnusableShape("The polygon's ring must not cross or touch itself and must enclose an area.")
    return ring


def _polygon(shape: Polygon) -> Outline | None:
    ring = _ring(shape)
    (low_lat, low_lon), (high_lat, high_lon) = ring.min(axis=0), ring.max(axis=0)
    if high_lat < SOUTH or low_lat > NORTH or high_lon < WEST or low_lon > EAST:
        return None
    area = shapely.polygons(to_grid_many(ring[:, 0], ring[:, 1]))
    return _around_its_centroid(area, to_grid(float(ring[0, 0]), float(ring[0, 1])))


def _around_its_centroid(area: shapely.Geometry, otherwise: tuple[float, float]) -> Outline:
    """The area with its centroid; a mere point there, or `otherwise`, where it is too thin to be one on the ground."""
    if not shapely.is_valid(area):
        # Corners closer together than floating point tells apart after the projection.
        area = shapely.make_valid(area, method="structure", keep_collapsed=False)
    centre = shapely.centroid(area)
    if shapely.is_empty(centre):
        return Outline(*otherwise, None)
    return Outline(centre.x, centre.y, area if shapely.area(area) >= POINT_LIKE_M**2 else None)
