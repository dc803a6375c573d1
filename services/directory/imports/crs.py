"""Which coordinates a file has: degrees of WGS 84, or metres of the British National Grid. No other is guessed at."""

from __future__ import annotations

import re

from pyproj import CRS
from pyproj.exceptions import CRSError

from services.directory.alliance_file import Unusable

WGS84, GRID = "EPSG:4326", "EPSG:27700"
TAKEN = f"Taken are WGS 84 ({WGS84}) and the British National Grid ({GRID})."
MAX_WKT = 8_192
_NAMED = re.compile(r"EPSG[:/]+(?:[0-9.]*[:/]+)?([0-9]{1,9})", re.IGNORECASE)


def by_name(name: str) -> str:
    """As GeoJSON once named them and services still do: `EPSG:27700`, `urn:ogc:def:crs:EPSG::4326`, a URL, CRS84.

    Raises Unusable.
    """
    name = name.strip()[:200]
    if re.search(r"\bCRS:?84$", name, re.IGNORECASE):
        return WGS84
    found = _NAMED.search(name)
    if found is None:
        raise Unusable(f"Its coordinates are in a system that is not known here, {name!r}. {TAKEN}")
    return by_code(int(found[1]))


def by_code(code: int) -> str:
    """By the number that EPSG has given it. Raises Unusable."""
    crs = f"EPSG:{code}"
    if crs in (WGS84, GRID):
        return crs
    try:
        raise Unusable(f"Its coordinates are in {CRS.from_epsg(code).name} ({crs}). {TAKEN}")
    except CRSError:
        raise Unusable(f"Its coordinates are in a system that is not known here, {crs}. {TAKEN}") from None


def by_definition(wkt: str) -> str:
    """By its definition, as a shapefile's .prj has it. Raises Unusable."""
    try:
        if len(wkt) > MAX_WKT:
            raise CRSError("too long")
        crs = CRS.from_wkt(wkt)
        code = crs.to_epsg()
    except CRSError:
        raise Unusable(f"Its coordinate system cannot be understood: {wkt.strip()[:100]!r}. {TAKEN}") from None
    if code is None:
        raise Unusable(f"Its coordinates are in {crs.name[:100]}. {TAKEN}")
    return by_code(code)
