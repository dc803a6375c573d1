"""A GeoJSON file (RFC 7946: WGS 84 degrees) of places that its properties name: neighbourhoods, overlays.

Whatever is wrong is an Unusable, with a sentence for whoever has the file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import shapely

from libs.places.grid import on_grid, to_grid_many
from services.directory.alliance_file import Unusable

MAX_FILE_BYTES = 256 * 1024 * 1024


def features_of(path: Path, most: int | None = None) -> Iterator[tuple[str, Any]]:
    """Each feature, after the words for where it stands."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Unusable(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB.")
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(f"{path} cannot be read as JSON: {error}.") from None
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not features:
        raise Unusable(f"{path} is no GeoJSON FeatureCollection with features.")
    if most is not None and len(features) > most:
        raise Unusable(f"{path} has {len(features)} features: at most {most} are taken.")
    for number, feature in enumerate(features):
        yield f"{path}, features[{number}]", feature


def texts_of(feature: Any, members: Sequence[str], most: int, where: str) -> list[str]:
    """What the feature's properties say under these names."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    texts = [properties.get(member) if isinstance(properties, dict) else None for member in members]
    for member, text in zip(members, texts, strict=True):
        if not isinstance(text, str) or not 1 <= len(text) <= most:
            raise Unusable(f"{where}: the property {member} must be a text of 1 to {most} characters.")
    return list(map(str, texts))


def place_of(feature: Any, kinds: Collection[int], named: str, where: str) -> shapely.Geometry:
    """The feature's geometry, of one of these shapely type ids, in metres (EPSG:27700). Not all are valid."""
    try:
        place = shapely.force_2d(shapely.from_geojson(json.dumps(feature.get("geometry"))))
    except (shapely.errors.GEOSException, TypeError, ValueError) as error:
        raise Unusable(f"{where}: its geometry cannot be read: {error}.") from None
    if shapely.get_type_id(place) not in kinds or shapely.is_empty(place):
        raise Unusable(f"{where}: its geometry must be {named}.")
    west, south, east, north = shapely.bounds(place)
    if not (on_grid(south, west) and on_grid(north, east)):
        raise Unusable(f"{where}: it does not lie in Great Britain, in WGS 84 degrees as GeoJSON has them.")
    return shapely.transform(place, lambda corners: to_grid_many(corners[:, 1], corners[:, 0]))
