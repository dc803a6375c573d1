"""GeoJSON (RFC 7946), and with the member `crs` that came before it and that ONS still writes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from services.directory.alliance_file import Unusable
from services.directory.imports import crs
from services.directory.imports.shapes import MAX_CORNERS, Counter, Feature, Layer, Rings, ring_of, texts

FORMAT = "GeoJSON"

_Lines = list[list[list[float]]]


class _Polygon(msgspec.Struct, tag="Polygon"):
    coordinates: _Lines


class _MultiPolygon(msgspec.Struct, tag="MultiPolygon"):
    coordinates: list[_Lines]


class _Feature(msgspec.Struct):
    geometry: msgspec.Raw
    properties: dict[str, Any] | None = None


class _CrsName(msgspec.Struct):
    name: str


class _Crs(msgspec.Struct):
    properties: _CrsName


class _Collection(msgspec.Struct):
    type: Literal["FeatureCollection"]
    features: list[msgspec.Raw]
    crs: _Crs | None = None


_collection = msgspec.json.Decoder(_Collection)
_feature = msgspec.json.Decoder(_Feature)
_geometry = msgspec.json.Decoder(_Polygon | _MultiPolygon)


def read(content: bytes) -> Layer:
    """Raises Unusable."""
    try:
        document = _collection.decode(content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"This is no GeoJSON FeatureCollection: {_said(error)}.") from None
    system = crs.WGS84 if document.crs is None else crs.by_name(document.crs.properties.name)
    counter = Counter()
    features = []
    for number, raw in enumerate(document.features):
        counter.feature()
        features.append(_read_feature(raw, f"features[{number}]", counter))
    return Layer(FORMAT, system, features)


def _read_feature(raw: msgspec.Raw, where: str, counter: Counter) -> Feature:
    try:
        feature = _feature.decode(raw)
        if bytes(feature.geometry).count(b",") > 4 * MAX_CORNERS:
            raise Unusable(f"{where}: it has over {MAX_CORNERS} corners: give boundaries that are generalised.")
        geometry = _geometry.decode(feature.geometry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"{where}: this is no area of GeoJSON: {_said(error)}.") from None
    polygons = [geometry.coordinates] if isinstance(geometry, _Polygon) else geometry.coordinates
    return Feature(where, texts(feature.properties or {}), [_rings(polygon, where, counter) for polygon in polygons])


def _rings(polygon: _Lines, where: str, counter: Counter) -> Rings:
    rings = []
    for line in polygon:
        counter.ring(len(line))
        try:
            corners = np.array([corner[:2] for corner in line], dtype=float).reshape(-1, 2)
        except ValueError:
            raise Unusable(f"{where}: a corner is not two or three numbers.") from None
        rings.append(ring_of(corners, where))
    return rings


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).rstrip(".")[:200]
