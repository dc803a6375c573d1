"""Between WGS 84 and the British National Grid (EPSG:27700), in about a microsecond.

Invariant: one fixed set of numbers on every machine. The transformation is the Ordnance Survey's seven-parameter
Helmert one (EPSG:1314), pinned, because PROJ would otherwise choose by what grid files a machine happens to have.
Against the Ordnance Survey's published OSTN15 test points it is within 2.5 m in England and Wales east of Exeter and
within 5 m in the far west (Cornwall, Scilly); EPSG states 2 m. That is far less than what a drawn border is worth.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pyproj import Transformer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TO_GRID = Transformer.from_pipeline(
    "proj=pipeline step proj=unitconvert xy_in=deg xy_out=rad step proj=push v_3 step proj=cart ellps=WGS84 "
    "step inv proj=helmert x=446.448 y=-125.157 z=542.06 rx=0.15 ry=0.247 rz=0.842 s=-20.489 "
    "convention=position_vector step inv proj=cart ellps=airy step proj=pop v_3 "
    "step proj=tmerc lat_0=49 lon_0=-2 k=0.9996012717 x_0=400000 y_0=-100000 ellps=airy"
)
_transform = _TO_GRID.transform

SOUTH, NORTH, WEST, EAST = 48.0, 62.0, -11.0, 5.0
"""Degrees within which the grid has a meaning. What lies beyond is outside every area."""


def on_grid(lat: float, lon: float) -> bool:
    """Whether the place lies where grid coordinates have a meaning. False for NaN."""
    return SOUTH <= lat <= NORTH and WEST <= lon <= EAST


def to_grid(lat: float, lon: float) -> tuple[float, float]:
    """Easting and northing in metres of WGS 84 degrees. Thread-safe. Only for what is `on_grid`."""
    easting, northing = _transform(lon, lat)
    return easting, northing


def to_grid_many(
    lats: "Sequence[float] | NDArray[np.float64]", lons: "Sequence[float] | NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """As `to_grid` for many places at once: rows of easting, northing."""
    return np.column_stack(_transform(np.asarray(lons, dtype=float), np.asarray(lats, dtype=float)))


def to_wgs84(easting: float, northing: float) -> tuple[float, float]:
    """Latitude and longitude in WGS 84 degrees of a grid place, by the same transformation backwards."""
    lon, lat = _transform(easting, northing, direction="INVERSE")
    return lat, lon


def to_wgs84_many(places: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """As `to_wgs84` for rows of easting, northing: rows of latitude, longitude."""
    lons, lats = _transform(places[:, 0], places[:, 1], direction="INVERSE")
    return np.column_stack([lats, lons])
