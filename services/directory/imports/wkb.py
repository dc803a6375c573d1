"""Well-known binary, of polygons alone. A few lines of our own: GEOS follows nested collections to any depth."""

from __future__ import annotations

import struct

import numpy as np

from services.directory.imports.shapes import Counter, Rings, ring_of

POLYGON, MULTIPOLYGON = 3, 6
_Z, _M, _SRID = 0x80000000, 0x40000000, 0x20000000
MIN_RING = 4
"""Bytes that a ring takes at least."""


class NotWkb(ValueError):
    """The bytes are no polygon. The message says what is wrong with them."""


def read_polygons(wkb: bytes | memoryview, where: str, counter: Counter) -> list[Rings]:
    """The polygons of a Polygon or MultiPolygon, ISO's way or PostGIS's; height and measure are left out.

    Raises NotWkb, and Unusable where a limit is reached.
    """
    reader = _Reader(wkb)
    kind = reader.header()
    if kind == POLYGON:
        return [reader.polygon(where, counter)]
    if kind != MULTIPOLYGON:
        raise NotWkb("it is neither a polygon nor a multipolygon")
    polygons = []
    for _ in range(reader.count(least=9)):
        if reader.header() != POLYGON:
            raise NotWkb("a part of its multipolygon is no polygon")
        polygons.append(reader.polygon(where, counter))
    return polygons


class _Reader:
    def __init__(self, wkb: bytes | memoryview) -> None:
        self._wkb = memoryview(wkb)
        self._at = 0
        self._order = "<"
        self._dimensions = 2

    def header(self) -> int:
        """The kind of the geometry that begins here."""
        self._order = "<" if self._bytes(1)[0] else ">"
        kind = self._integer()
        flags, kind = kind & (_Z | _M | _SRID), kind & 0x1FFFFFFF
        if flags & _SRID:
            self._integer()
        thousands, kind = divmod(kind, 1000)
        if thousands > 3:
            raise NotWkb("it is of an unknown kind")
        self._dimensions = 2 + bool(flags & _Z or thousands in (1, 3)) + bool(flags & _M or thousands in (2, 3))
        return kind

    def polygon(self, where: str, counter: Counter) -> Rings:
        return [self._ring(where, counter) for _ in range(self.count(least=MIN_RING))]

    def count(self, least: int) -> int:
        """How many follow, each of at least so many bytes."""
        count = self._integer()
        if count * least > len(self._wkb) - self._at:
            raise NotWkb("it is cut short")
        return count

    def _ring(self, where: str, counter: Counter) -> np.ndarray:
        width = 8 * self._dimensions
        count = self.count(least=width)
        counter.ring(count)
        corners = np.frombuffer(self._bytes(count * width), dtype=f"{self._order}f8").reshape(count, self._dimensions)
        return ring_of(corners[:, :2].astype(float), where)

    def _integer(self) -> int:
        (number,) = struct.unpack(f"{self._order}I", self._bytes(4))
        return int(number)

    def _bytes(self, count: int) -> memoryview:
        if count > len(self._wkb) - self._at:
            raise NotWkb("it is cut short")
        found = self._wkb[self._at : self._at + count]
        self._at += count
        return found
