"""The map shows what changes, in its colours and of its size."""

from __future__ import annotations

import io

import numpy as np
import shapely
from PIL import Image

from services.directory.imports.checks import examine
from services.directory.imports.picture import HUES, NOBODY, TWICE, draw
from services.directory.imports.reading import Drawn
from tests.unit.services.directory.imports.files import BEDFORDSHIRE as WEST
from tests.unit.services.directory.imports.files import HERTFORDSHIRE as EAST

BEFORE = {"west": WEST, "east": EAST}


def drawn(
    after: dict[str, shapely.Geometry], before: dict[str, shapely.Geometry] | None, focus: tuple[str, ...] = ()
) -> Image.Image:
    report = examine(Drawn(after, (), (), "KML", "EPSG:4326"), before, ())
    png = draw(after, before, report, title="From 1 to 2", attribution="© Somebody", focus=focus)
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return image.convert("RGB")


def share_of(image: Image.Image, colour: str) -> float:
    """Of the map's pixels, those of nearly this colour."""
    wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    pixels = np.asarray(image.crop((0, 64, 860, image.height))).astype(int)
    return float((abs(pixels - wanted).max(axis=2) < 24).mean())


def test_what_a_force_gains_is_in_its_colour_and_where_nothing_changes_there_is_none() -> None:
    east, west = HUES[0], HUES[1]
    after = {
        "west": shapely.box(500_000, 240_000, 512_000, 250_000),
        "east": shapely.box(512_000, 240_000, 520_000, 250_000),
    }
    moved, same = drawn(after, BEFORE), drawn(BEFORE, BEFORE)
    assert moved.width == same.width == 1_200
    assert 0.03 < share_of(moved, west) < 0.15
    assert share_of(moved, east) < 0.001
    assert share_of(same, west) < 0.001


def test_gaps_overlaps_and_what_goes_to_nobody_are_marked() -> None:
    pond = shapely.box(504_000, 244_000, 504_050, 244_050)
    assert (
        share_of(drawn({**BEFORE, "west": WEST - pond}, None), NOBODY) > 0.0001 > share_of(drawn(BEFORE, None), NOBODY)
    )
    over = {**BEFORE, "west": shapely.box(500_000, 240_000, 510_500, 250_000)}
    assert share_of(drawn(over, None), TWICE) > 0.005
    less = {**BEFORE, "west": shapely.box(503_000, 240_000, 510_000, 250_000)}
    assert share_of(drawn(less, BEFORE), NOBODY) > 0.02


def test_it_looks_on_whom_it_is_asked_to_and_stays_bounded() -> None:
    far = {**BEFORE, "north": shapely.box(100_000, 600_000, 110_000, 1_200_000)}
    for focus in ((), ("west",), ("west", "nobody")):
        assert drawn(far, far, focus).height <= 1_400
    assert drawn({}, {}).height <= 1_400
