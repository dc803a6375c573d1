"""The areas of a generation as a screen shows them: GeoJSON (RFC 7946), simplified.

Invariants
  * It is for display, and says so itself: nobody's place is decided by these lines.
  * All areas are simplified together, so that a border between two stays one line, with neither gap nor overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from libs.events.types.directory import BoundariesActivated
from libs.places import decode_area
from libs.places.grid import to_wgs84_many
from services.directory.generation import InForce

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOTE = "Simplified for display. Who owns a place, POST /v1/locate says."
_DEGREES = 1e-5
"""To which coordinates are rounded: a metre."""


def draw(generation: InForce, tolerance_m: int) -> bytes:
    """The document, its lines about `tolerance_m` from those that decide. Takes seconds for a country in full
    resolution: not for an event loop."""
    areas = {
        area.force: decode_area([generation.chunks[sha256] for sha256 in area.hashes])
        for area in generation.boundaries.areas
    }
    return document(areas, generation.boundaries, tolerance_m)


def document(areas: Mapping[str, shapely.Geometry], boundaries: BoundariesActivated, tolerance_m: int) -> bytes:
    """`areas` by force, EPSG:27700."""
    forces = sorted(areas)
    simple = _simplified([areas[force] for force in forces], tolerance_m)
    features = [_feature(force, area) for force, area in zip(forces, simple, strict=True)]
    about = {
        "type": "FeatureCollection",
        "generation": boundaries.generation,
        "attribution": boundaries.source,
        "accuracyMetres": boundaries.accuracy_m,
        "toleranceMetres": tolerance_m,
        "note": NOTE,
        "features": features,
    }
    return json.dumps(about, ensure_ascii=False, separators=(",", ":")).encode()


def _simplified(areas: list[shapely.Geometry], tolerance_m: int) -> NDArray[np.object_]:
    simple: NDArray[np.object_] = shapely.coverage_simplify(np.array(areas, dtype=object), tolerance_m)
    # Areas that were not drawn together can come out crossing themselves.
    crossed = ~shapely.is_valid(simple)
    simple[crossed] = shapely.make_valid(simple[crossed], method="structure", keep_collapsed=False)
    return simple


def _feature(force: str, area: shapely.Geometry) -> dict[str, Any]:
    largest = max(shapely.get_parts(area), key=shapely.area, default=area)
    name_at = None if shapely.is_empty(largest) else _to_degrees(_middle(largest))[0].tolist()
    degrees = shapely.orient_polygons(shapely.transform(area, _to_degrees))
    return {
        "type": "Feature",
        "id": force,
        "properties": {"force": force, "nameAt": name_at},
        "geometry": json.loads(shapely.to_geojson(degrees)),
    }


def _middle(polygon: shapely.Geometry) -> NDArray[np.float64]:
    """Where there is most room for a name in it."""
    west, south, east, north = shapely.bounds(polygon)
    widest = shapely.maximum_inscribed_circle(polygon, tolerance=max(east - west, north - south) / 100.0)
    middle: NDArray[np.float64] = shapely.get_coordinates(widest)[:1]
    return middle


def _to_degrees(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitude first."""
    degrees: NDArray[np.float64] = np.round(to_wgs84_many(corners)[:, ::-1] / _DEGREES) * _DEGREES
    return np.round(degrees, 5)
