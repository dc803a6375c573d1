"""KML, alone or packed (KMZ), or many in a zip file as data.police.uk gives them: a file a force, named for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from libs.places.safe_xml import Element, NotXml, name_of, read_large_xml, text_of
from services.directory.alliance_file import Unusable
from services.directory.imports import crs
from services.directory.imports.archive import Archive, shown
from services.directory.imports.shapes import Counter, Feature, Layer, Rings, ring_of, texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "KML"
MAX_ELEMENTS = 1_000_000
MAX_CORNER = 128
"""Characters of one corner."""


def read(content: bytes) -> Layer:
    """Raises Unusable."""
    return Layer(FORMAT, crs.WGS84, list(_features(content, "", {}, Counter())))


def read_packed(archive: Archive) -> Layer:
    """Every KML file of the archive; where nothing in it says whose it is, the file's or its folder's name does.

    Raises Unusable.
    """
    counter = Counter()
    features: list[Feature] = []
    for name in archive.ending(".kml"):
        path = PurePosixPath(name)
        names = {"file": path.stem, "folder": path.parent.name}
        features += _features(archive.read(name), f"{shown(name)}, ", names, counter)
    return Layer(FORMAT, crs.WGS84, features)


def _features(content: bytes, file: str, names: dict[str, str], counter: Counter) -> Iterator[Feature]:
    try:
        root = read_large_xml(content, max_elements=MAX_ELEMENTS)
    except NotXml as error:
        raise Unusable(f"{file}this cannot be read as KML: {error}") from None
    if name_of(root)[1] != "kml":
        raise Unusable(f"{file}this is XML, and no KML: its root element is {name_of(root)[1][:50]!r}.")
    for number, placemark in enumerate(root.iter("{*}Placemark"), 1):
        counter.feature()
        where = f"{file}Placemark {number}"
        polygons = [_rings(polygon, where, counter) for polygon in placemark.iter("{*}Polygon")]
        if polygons:
            yield Feature(where, texts({**_properties(placemark), **_around(placemark), **names}), polygons)


def _properties(placemark: Element) -> dict[Any, object]:
    found: dict[Any, object] = {"name": _child_text(placemark, "name")}
    for data in placemark.iter("{*}Data"):
        found[data.get("name")] = _child_text(data, "value")
    for data in placemark.iter("{*}SimpleData"):
        found[data.get("name")] = text_of(data)
    return found


def _around(placemark: Element) -> dict[Any, object]:
    """The names of the folders and the document that it stands in, the nearest first."""
    return {f"folder{up}": _child_text(one, "name") for up, one in enumerate(placemark.iterancestors())}


def _child_text(element: Element, name: str) -> str:
    child = element.find(f"{{*}}{name}")
    return "" if child is None else text_of(child)


def _rings(polygon: Element, where: str, counter: Counter) -> Rings:
    outer = polygon.findall("{*}outerBoundaryIs/{*}LinearRing/{*}coordinates")
    if len(outer) != 1:
        raise Unusable(f"{where}: a Polygon must have one outerBoundaryIs with the coordinates of a LinearRing.")
    inner = polygon.findall("{*}innerBoundaryIs/{*}LinearRing/{*}coordinates")
    return [_ring(ring.text or "", where, counter) for ring in outer + inner]


def _ring(text: str, where: str, counter: Counter) -> NDArray[np.float64]:
    """`lon,lat` or `lon,lat,height`, with white space between corners."""
    corners = text.split()
    counter.ring(len(corners))
    pairs = [corner.split(",", 3)[:2] for corner in corners]
    try:
        if any(len(corner) > MAX_CORNER for corner in corners):
            raise ValueError
        return ring_of(np.array(pairs, dtype=float).reshape(-1, 2), where)
    except ValueError:
        raise Unusable(f"{where}: its coordinates are not written as longitude,latitude with spaces between.") from None
