"""An area on the wire: zlib-deflated WKB in pieces small enough for one event, each named by its content.

Invariant: `decode_area(encode_area(area))` is the same area to the last bit, and no bytes from outside can make
`decode_area` use more than `MAX_AREA_BYTES` of memory for them.
"""

import hashlib
import zlib
from collections.abc import Sequence

import shapely

CHUNK_BYTES = 320 * 1024
MAX_AREA_BYTES = 64 * 1024 * 1024
"""Of WKB: four million corners. A force at full resolution has a tenth of that."""


class DamagedArea(ValueError):
    """The chunks do not make an area: cut short, altered, too large, or not a multipolygon."""


def encode_area(area: shapely.Geometry) -> tuple[bytes, ...]:
    """The area as chunks, in order. Joined they are the zlib-deflated WKB of a MultiPolygon (little-endian, 2D).

    Raises ValueError for anything but a polygon or multipolygon, and for one too large.
    """
    if shapely.get_type_id(area) == 3:
        area = shapely.multipolygons([area])
    if shapely.get_type_id(area) != 6:
        raise ValueError("an area is a polygon or a multipolygon")
    wkb = shapely.to_wkb(area, byte_order=1, output_dimension=2)
    if len(wkb) > MAX_AREA_BYTES:
        raise ValueError(f"an area takes at most {MAX_AREA_BYTES} bytes, this one {len(wkb)}")
    packed = zlib.compress(wkb, 9)
    return tuple(packed[at : at + CHUNK_BYTES] for at in range(0, len(packed), CHUNK_BYTES))


def decode_area(chunks: Sequence[bytes]) -> shapely.Geometry:
    """The area that `encode_area` cut into these chunks. Raises DamagedArea."""
    inflate = zlib.decompressobj()
    try:
        wkb = inflate.decompress(b"".join(chunks), MAX_AREA_BYTES + 1)
    except zlib.error as error:
        raise DamagedArea(f"the chunks do not inflate: {error}") from None
    if len(wkb) > MAX_AREA_BYTES:
        raise DamagedArea(f"the area takes more than {MAX_AREA_BYTES} bytes")
    if not inflate.eof or inflate.unused_data:
        raise DamagedArea("the chunks are cut short, or something follows them")
    try:
        area = shapely.from_wkb(wkb)
    except shapely.errors.GEOSException as error:
        raise DamagedArea(f"the chunks hold no geometry: {error}") from None
    if shapely.get_type_id(area) != 6:
        raise DamagedArea("the chunks hold no multipolygon")
    return area


def sha256_of(chunk: bytes) -> str:
    """A chunk's name: the SHA-256 of its bytes in lower-case hexadecimal."""
    return hashlib.sha256(chunk).hexdigest()
