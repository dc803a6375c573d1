"""What a file draws, before anybody knows whose it is: rings of corners as the file has them, counted as they are read.

Invariant: nobody makes geometry of what was not counted by a `Counter`, so that no file can draw more than its limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from services.directory.alliance_file import Unusable

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CORNERS = 1_000_000
"""Of one area. A force at full resolution has some hundred thousand."""
MAX_CORNERS_IN_FILE = 6_000_000
MAX_RINGS = 100_000
"""In a file. At full resolution every rock of a coast is one."""
FURTHEST = 1e8
"""Of a coordinate, in whatever system: so that one can be reckoned with before it is known which."""
MAX_FEATURES = 20_000
MAX_NAMES = 100
"""Properties of one feature."""
MAX_TEXT = 200
"""Of a property, in characters; what is longer names no force."""

Ring: TypeAlias = "NDArray[np.float64]"
"""Rows of x, y (longitude, latitude where the file has degrees), closed or not."""
Rings: TypeAlias = "list[Ring]"
"""Of one polygon: first its outline, then its holes."""


class Feature(NamedTuple):
    """One entry of a file."""

    where: str
    """What to call it to people: its place in the file."""
    properties: Mapping[str, str]
    polygons: list[Rings]


class Layer(NamedTuple):
    """A file as read."""

    format: str
    crs: str
    """`EPSG:4326` (longitude before latitude) or `EPSG:27700`."""
    features: list[Feature]


class Counter:
    """Counts what a file draws. Every method raises Unusable where a limit is reached."""

    def __init__(self) -> None:
        self.corners = self.rings = self.features = 0
        self.corners_here = 0

    def feature(self) -> None:
        """Another feature begins."""
        self.features += 1
        self.corners_here = 0
        if self.features > MAX_FEATURES:
            raise Unusable(f"The file has over {MAX_FEATURES} features: no file of police areas has as many.")

    def ring(self, corners: int) -> None:
        """Another ring of so many corners is about to be read."""
        self.rings += 1
        self.corners += corners
        self.corners_here += corners
        if self.rings > MAX_RINGS:
            raise Unusable(f"The file has over {MAX_RINGS} rings: give boundaries that are generalised.")
        if self.corners_here > MAX_CORNERS:
            raise Unusable(f"An area of the file has over {MAX_CORNERS} corners: give boundaries that are generalised.")
        if self.corners > MAX_CORNERS_IN_FILE:
            raise Unusable(f"The file has over {MAX_CORNERS_IN_FILE} corners: give boundaries that are generalised.")


def ring_of(corners: Ring, where: str) -> Ring:
    """The corners, looked at: numbers all of them, and enough. Raises Unusable."""
    if not np.isfinite(corners).all():
        raise Unusable(f"{where}: a coordinate is no finite number.")
    if len(corners) and np.abs(corners).max() > FURTHEST:
        raise Unusable(f"{where}: a coordinate is far beyond Great Britain.")
    closed = len(corners) > 1 and bool((corners[0] == corners[-1]).all())
    if len(corners) - closed < 3:
        raise Unusable(f"{where}: a ring has fewer than three different corners.")
    return corners


def texts(properties: Mapping[Any, object]) -> dict[str, str]:
    """Those properties that could name a force: short texts."""
    found: dict[str, str] = {}
    for name, value in properties.items():
        if len(found) == MAX_NAMES:
            break
        if isinstance(name, str) and isinstance(value, str) and len(name) <= MAX_TEXT:
            text = value.strip("\0 \t\r\n")
            if 1 <= len(text) <= MAX_TEXT:
                found[name] = text
    return found
