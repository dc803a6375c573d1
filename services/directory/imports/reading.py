"""The bytes of a file of boundaries, as ONS and data.police.uk publish them, into each force's area.

Invariants
  * What the file is, its content says: a name or a media type is never believed.
  * What is handed out is valid, lies in Great Britain, is in metres of the British National Grid, and within the limits
    of `shapes.py`; whatever is not is refused with `Unusable`, a sentence for whoever has the file, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely

from libs.places.grid import EAST, NORTH, SOUTH, WEST, to_grid_many
from services.directory.alliance_file import Unusable
from services.directory.forces import KnownForce
from services.directory.imports import geojson, geopackage, kml, shapefile
from services.directory.imports.archive import Archive
from services.directory.imports.crs import WGS84
from services.directory.imports.naming import Names, called
from services.directory.imports.shapes import MAX_CORNERS, Feature, Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 256 * 1024 * 1024
MAX_UNKNOWN = 100
"""Names of strangers that are told."""
MAX_REPAIRED_SHARE = 0.001
"""An outline that crosses itself is put right where that changes its area by less; else nobody knows what was meant."""
WEST_M, SOUTH_M, EAST_M, NORTH_M = -200_000.0, -200_000.0, 800_000.0, 1_400_000.0
"""The British National Grid as far as it is used."""
TAKEN = "Taken are GeoJSON, KML and KMZ, GeoPackage, and a zipped Shapefile."


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a file says of boundaries."""

    areas: dict[str, shapely.Geometry]
    """By force id: a valid MultiPolygon in EPSG:27700, metres."""
    unknown: tuple[str, ...]
    """What the file calls those of its areas that are no known force's, sorted."""
    repaired: tuple[str, ...]
    """The forces whose outline crossed or touched itself and was put right, sorted."""
    format: str
    crs: str
    """`EPSG:4326` or `EPSG:27700`: what the file's numbers were."""


def read_boundaries(content: bytes, known: Iterable[KnownForce]) -> Drawn:
    """The areas of the known forces that the file has. Raises Unusable."""
    layer = read_layer(content)
    names = Names(known)
    theirs: dict[str, list[Feature]] = {}
    unknown = set()
    for feature in layer.features:
        force = names.force_of(feature.properties)
        if force is None:
            unknown.add(called(feature.properties))
        else:
            theirs.setdefault(force, []).append(feature)
    if not theirs:
        example = f" It names {', '.join(sorted(unknown)[:3])}." if unknown else ""
        raise Unusable(
            "No area of the file is a known police force's: each must have the code ONS gave the force (PFA24CD), its "
            f"name (PFA24NM) or its id at data.police.uk.{example}"
        )
    areas: dict[str, shapely.Geometry] = {}
    repaired = []
    for force, features in sorted(theirs.items()):
        areas[force], mended = _united(force, features, layer.crs)
        if mended:
            repaired.append(force)
    return Drawn(areas, tuple(sorted(unknown)[:MAX_UNKNOWN]), tuple(repaired), layer.format, layer.crs)


def read_layer(content: bytes) -> Layer:
    """The file as it is, whatever its areas are. Raises Unusable."""
    if len(content) > MAX_BYTES:
        raise Unusable(f"The file is over {MAX_BYTES // 2**20} MiB: give boundaries that are generalised.")
    beginning = content[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if beginning.startswith(b"{"):
        layer = geojson.read(content)
    elif beginning.startswith(b"<"):
        layer = kml.read(content)
    elif content.startswith(geopackage.MAGIC):
        layer = geopackage.read(content)
    elif content.startswith(b"PK\3\4"):
        archive = Archive(content)
        if archive.ending(".shp"):
            layer = shapefile.read(archive)
        elif archive.ending(".kml"):
            layer = kml.read_packed(archive)
        else:
            raise Unusable("The zip file holds neither a Shapefile nor KML.")
    else:
        raise Unusable(f"The file is none that is known here. {TAKEN}")
    if not any(feature.polygons for feature in layer.features):
        raise Unusable("The file has no areas.")
    return layer


def area_of(feature: Feature, crs: str) -> tuple[shapely.Geometry, bool]:
    """The feature's MultiPolygon in metres, and whether it had to be put right. Raises Unusable."""
    return _put_right(_multipolygon(feature, crs), feature.where)


def _united(force: str, features: list[Feature], crs: str) -> tuple[shapely.Geometry, bool]:
    corners = sum(len(ring) for feature in features for rings in feature.polygons for ring in rings)
    if corners > MAX_CORNERS:
        raise Unusable(f"The area of {force} has over {MAX_CORNERS} corners: give boundaries that are generalised.")
    drawn = [area_of(feature, crs) for feature in features]
    mended = any(one for _, one in drawn)
    if len(drawn) == 1:
        return drawn[0][0], mended
    try:
        united = shapely.union_all([area for area, _ in drawn])
    except shapely.errors.GEOSException as error:
        raise Unusable(f"The parts of {force} cannot be joined: {error}.") from None
    return _as_multipolygon(united), mended


def _multipolygon(feature: Feature, crs: str) -> shapely.Geometry:
    polygons = []
    for rings in feature.polygons:
        if not rings:
            continue
        outline, *holes = (shapely.linearrings(_in_metres(ring, crs, feature.where)) for ring in rings)
        polygons.append(shapely.polygons(outline, holes or None))
    if not polygons:
        raise Unusable(f"{feature.where}: it has no area.")
    return shapely.multipolygons(polygons)


def _in_metres(ring: NDArray[np.float64], crs: str, where: str) -> NDArray[np.float64]:
    (least_x, least_y), (most_x, most_y) = ring.min(axis=0), ring.max(axis=0)
    if crs == WGS84:
        if least_x < WEST or most_x > EAST or least_y < SOUTH or most_y > NORTH:
            raise Unusable(
                f"{where}: it does not lie in Great Britain: near {least_x:.6g}, {least_y:.6g}, where longitude comes "
                "first and latitude second, in degrees."
            )
        return to_grid_many(ring[:, 1], ring[:, 0])
    if least_x < WEST_M or most_x > EAST_M or least_y < SOUTH_M or most_y > NORTH_M:
        raise Unusable(
            f"{where}: it does not lie in Great Britain: near {least_x:.6g}, {least_y:.6g}, where easting comes first "
            "and northing second, in metres of the British National Grid."
        )
    return ring


def _put_right(area: shapely.Geometry, where: str) -> tuple[shapely.Geometry, bool]:
    if shapely.is_valid(area):
        return area, False
    before = shapely.area(area)
    try:
        valid = shapely.make_valid(area, method="structure", keep_collapsed=False)
    except shapely.errors.GEOSException as error:
        raise Unusable(f"{where}: its outline crosses itself, and cannot be put right: {error}.") from None
    after = shapely.area(valid)
    if abs(after - before) > MAX_REPAIRED_SHARE * max(after, before) or not after:
        reason = shapely.is_valid_reason(area)[:100]
        raise Unusable(f"{where}: its outline crosses itself so that it is not clear what is inside ({reason}).")
    return _as_multipolygon(valid), True


def _as_multipolygon(area: shapely.Geometry) -> shapely.Geometry:
    parts = shapely.get_parts(area)
    return shapely.multipolygons(parts[shapely.get_type_id(parts) == 3])
