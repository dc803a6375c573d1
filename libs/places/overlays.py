"""Places that suggest a force: railways, airports, sites. A layer beside the atlas.

Invariant: they decide nothing. Whose a place is, the atlas says; these say whom else to think of.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import shapely

from libs.places.chunks import CHUNK_BYTES, MAX_AREA_BYTES, DamagedArea


class Near(NamedTuple):
    feature: int
    """Its number among the overlay's."""
    metres: float
    """From the place; 0 within an area."""


def encode_features(features: Sequence[shapely.Geometry]) -> tuple[bytes, ...]:
    """Points, lines and areas in EPSG:27700 as chunks, in order. Joined they are the zlib-deflated WKB of a
    GeometryCollection (little-endian, 2D). Raises ValueError for what is too large."""
    collection = shapely.geometrycollections([shapely.force_2d(feature) for feature in features])
    wkb = shapely.to_wkb(collection, byte_order=1, output_dimension=2)
    if len(wkb) > MAX_AREA_BYTES:
        raise ValueError(f"an overlay takes at most {MAX_AREA_BYTES} bytes, this one {len(wkb)}")
    packed = zlib.compress(wkb, 9)
    return tuple(packed[at : at + CHUNK_BYTES] for at in range(0, len(packed), CHUNK_BYTES))


def decode_features(chunks: Sequence[bytes]) -> list[shapely.Geometry]:
    """What `encode_features` cut into these chunks. Raises DamagedArea."""
    inflate = zlib.decompressobj()
    try:
        wkb = inflate.decompress(b"".join(chunks), MAX_AREA_BYTES + 1)
        if len(wkb) > MAX_AREA_BYTES or not inflate.eof or inflate.unused_data:
            raise DamagedArea("the chunks are cut short, too large, or something follows them")
        collection = shapely.from_wkb(wkb)
    except (zlib.error, shapely.errors.GEOSException) as error:
        raise DamagedArea(f"the chunks hold no geometry: {error}") from None
    if shapely.get_type_id(collection) != 7:
        raise DamagedArea("the chunks hold no collection")
    return list(shapely.get_parts(collection))


class Overlay:
    """Of one generation, in memory. Never changes."""

    def __init__(self, features: Sequence[shapely.Geometry], within_m: float):
        self._within_m = within_m
        self._tree = shapely.STRtree(list(features))

    def __len__(self) -> int:
        return len(self._tree.geometries)

    def near(self, easting: float, northing: float) -> Near | None:
        """The feature nearest to the place, where one is near enough."""
        place = shapely.points(easting, northing)
        found, away = self._tree.query_nearest(
            place, max_distance=max(self._within_m, 0.001), return_distance=True, all_matches=True
        )
        return None if not len(found) else Near(int(min(found)), float(away[0]))
