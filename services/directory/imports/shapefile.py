"""A zipped Shapefile (ESRI, July 1998): `.shp`, `.dbf` and `.prj`, polygons alone.

A few lines of our own: the format never changes, and what is read here comes from strangers, so that no length and no
count is believed before it is compared with the bytes there are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely

from services.directory.alliance_file import Unusable
from services.directory.imports import crs
from services.directory.imports.archive import Archive
from services.directory.imports.shapes import MAX_FEATURES, Counter, Feature, Layer, Rings, ring_of, texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "Shapefile"
MAX_TRIED = 2_000_000
"""Outlines that holes are tried in, in a file."""
_NULL, _POLYGONS = 0, (5, 15, 25)
_HEADER, _FIXED = 100, 44


def read(archive: Archive) -> Layer:
    """The one Shapefile of the archive. Raises Unusable."""
    shp = archive.ending(".shp")
    if len(shp) != 1:
        raise Unusable(f"The zip file must hold one Shapefile; it holds {len(shp)}.")
    stem = shp[0][:-4]
    dbf, prj, cpg = (_beside(archive, stem + ending) for ending in (".dbf", ".prj", ".cpg"))
    for ending, found in (
        (".dbf, which says whose its areas are", dbf),
        (".prj, which says what its numbers mean", prj),
    ):
        if found is None:
            raise Unusable(f"Beside the Shapefile's .shp in the zip file there must be its {ending}.")
    assert dbf is not None and prj is not None  # noqa: PT018
    system = crs.by_definition(archive.read(prj).decode("utf-8", "replace"))
    encoding = "latin-1"
    if cpg is None or archive.read(cpg).strip().upper() in (b"UTF-8", b"UTF8", b"65001"):
        encoding = "utf-8"
    rows = list(_rows(archive.read(dbf), encoding))
    return Layer(FORMAT, system, list(_features(archive.read(shp[0]), rows)))


def _beside(archive: Archive, name: str) -> str | None:
    return next((found for found in archive.ending(name.lower()) if len(found) == len(name)), None)


def _rows(dbf: bytes, encoding: str) -> Iterator[dict[object, object]]:
    """Each record's columns as text. Deleted records have none."""
    if len(dbf) < 32:
        raise Unusable("The Shapefile's .dbf is cut short.")
    count, start, width = struct.unpack_from("<IHH", dbf, 4)
    columns = []
    at, offset = 32, 1
    while at + 32 <= min(start, len(dbf)) and dbf[at] != 0x0D:
        name = dbf[at : at + 11].partition(b"\0")[0].decode("latin-1")
        columns.append((name, offset, offset + dbf[at + 16]))
        offset += dbf[at + 16]
        at += 32
    if width < offset or not columns or count > MAX_FEATURES or start + count * width > len(dbf):
        raise Unusable(f"The Shapefile's .dbf is damaged, or has over {MAX_FEATURES} records.")
    for number in range(count):
        row = dbf[start + number * width : start + (number + 1) * width]
        deleted = row[:1] == b"*"
        yield {} if deleted else {name: _text(row[one:end], encoding) for name, one, end in columns}


def _text(value: bytes, encoding: str) -> str:
    try:
        return value.decode(encoding)
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _features(shp: bytes, rows: list[dict[object, object]]) -> Iterator[Feature]:
    if len(shp) < _HEADER or struct.unpack_from(">i", shp, 0)[0] != 9994:
        raise Unusable("The Shapefile's .shp does not begin as one does.")
    counter = Counter()
    tried = 0
    at = _HEADER
    while at < len(shp):
        number = counter.features
        counter.feature()
        where = f"Record {number + 1}"
        if at + 12 > len(shp):
            raise Unusable(f"{where} of the Shapefile is cut short.")
        length = 2 * struct.unpack_from(">i", shp, at + 4)[0]
        if length < 4 or length > len(shp) - at - 8:
            raise Unusable(f"{where} of the Shapefile is cut short.")
        record = shp[at + 8 : at + 8 + length]
        at += 8 + length
        if number >= len(rows):
            raise Unusable("The Shapefile's .dbf has fewer records than its .shp.")
        if struct.unpack_from("<i", record)[0] == _NULL:
            continue
        rings = _rings(record, where, counter)
        polygons, tries = _nested(rings, MAX_TRIED - tried)
        tried += tries
        yield Feature(where, texts(rows[number]), polygons)


def _rings(record: bytes, where: str, counter: Counter) -> Rings:
    if struct.unpack_from("<i", record)[0] not in _POLYGONS:
        raise Unusable(f"{where} of the Shapefile is no polygon.")
    if len(record) < _FIXED:
        raise Unusable(f"{where} of the Shapefile is cut short.")
    parts, corners = struct.unpack_from("<II", record, 36)
    if _FIXED + 4 * parts + 16 * corners > len(record):
        raise Unusable(f"{where} of the Shapefile is cut short.")
    starts = [*struct.unpack_from(f"<{parts}I", record, _FIXED), corners]
    if starts[0] != 0 or any(one >= after for one, after in pairwise(starts)):
        raise Unusable(f"{where} of the Shapefile: its parts do not follow each other.")
    drawn = np.frombuffer(record, "<f8", 2 * corners, _FIXED + 4 * parts).astype(float).reshape(-1, 2)
    rings = []
    for one, after in pairwise(starts):
        counter.ring(after - one)
        rings.append(ring_of(drawn[one:after], where))
    return rings


def _nested(rings: Rings, most: int) -> tuple[list[Rings], int]:
    """Each outline (clockwise) with its holes, and how many outlines were tried: a hole's is the smallest around it."""
    turns = [_turn(ring) for ring in rings]
    outlines = [ring for ring, turn in zip(rings, turns, strict=True) if turn <= 0]
    holes = [ring for ring, turn in zip(rings, turns, strict=True) if turn > 0]
    if not outlines or not holes:
        return [[ring] for ring in rings], 0
    polygons: list[Rings] = [[ring] for ring in outlines]
    drawn = shapely.polygons([shapely.linearrings(ring) for ring in outlines])
    sizes, tree = shapely.area(drawn), shapely.STRtree(drawn)
    tried = 0
    for hole in holes:
        around = tree.query(shapely.points(hole[0]), predicate="intersects")
        tried += 1 + len(around)
        if tried > most:
            raise Unusable(f"The Shapefile has holes within outlines in over {MAX_TRIED} ways.")
        if len(around):
            polygons[around[np.argmin(sizes[around])]].append(hole)
        else:
            polygons.append([hole])
    return polygons, tried


def _turn(ring: NDArray[np.float64]) -> float:
    """Twice the signed area: below zero for clockwise."""
    x, y = (ring - ring[0]).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
