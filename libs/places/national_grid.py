"""British National Grid references, as people read them from a map: `TL 356 407` is a square of a hundred metres.

Invariant: a reference is a square, never a point: each pair of digits more makes it ten times smaller, from the
hundred kilometres of the two letters alone to one metre (Ordnance Survey, "A guide to coordinate systems in Great
Britain", section 7).
"""

import re
from typing import NamedTuple

from libs.events.types.shapes import Polygon
from libs.places.grid import to_wgs84

SQUARE_M = 100_000
_LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
"""All but I: rows of five, from the north-west."""
_FORM = re.compile(r"([A-HJ-Z]{2})((?:[0-9]{2}){0,5})", re.ASCII)
_MAX_TYPED = 32


class NotAReference(ValueError):
    """The text is no grid reference. The message is a sentence for whoever wrote it."""


class Square(NamedTuple):
    """By its south-west corner, metres."""

    easting: int
    northing: int
    side_m: int

    @property
    def polygon(self) -> Polygon:
        """The square as a location: anywhere in it."""
        west, south, east, north = self.easting, self.northing, self.easting + self.side_m, self.northing + self.side_m
        corners = ((west, south), (east, south), (east, north), (west, north))
        return Polygon(exterior=tuple(to_wgs84(*corner) for corner in corners))


def read_reference(text: str) -> Square:
    """The square of a reference in any case, with any spaces. Raises NotAReference."""
    found = _FORM.fullmatch("".join(text.split()).upper()) if len(text) <= _MAX_TYPED else None
    if found is None:
        raise NotAReference(
            "A grid reference is two letters and an even number of up to ten digits, as TL 356 407: half of the digits "
            "say how far east, half how far north."
        )
    letters, digits = found.groups()
    east, north = _hundred_kilometres(letters)
    half = len(digits) // 2
    side = SQUARE_M // 10**half
    return Square(
        east * SQUARE_M + int(digits[:half] or 0) * side, north * SQUARE_M + int(digits[half:] or 0) * side, side
    )


def _hundred_kilometres(letters: str) -> tuple[int, int]:
    """How many squares of a hundred kilometres east and north of the grid's origin. Raises NotAReference."""
    first, second = (_LETTERS.index(letter) for letter in letters)
    # The first letter's square of 500 km: S, whose corner is the origin, is the third of the fourth row.
    east = (first % 5 - 2) * 5 + second % 5
    north = (3 - first // 5) * 5 + 4 - second // 5
    if not (0 <= east < 7 and 0 <= north < 13):
        raise NotAReference(f"No square of Great Britain has the letters {letters}: Cambridge is in TL, London in TQ.")
    return east, north
