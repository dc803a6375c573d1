"""What changes, as a map: a PNG for the person who is to put new boundaries in force.

Invariant: as large as its limits, whatever the areas are; the attribution stands in the picture itself.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont

from services.directory.imports.report import Moved, Report
from services.directory.imports.sentences import square

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, LEGEND, MARGIN, TOP, BOTTOM = 1_200, 330, 16, 64, 44
MIN_HEIGHT, MAX_HEIGHT = 500, 1_250
"""Of the map, pixels."""
FINER = 2
"""Drawn so many times larger, then made smaller: smooth lines."""
MAX_ROWS = 12
"""Forces in the legend."""
SEA, LAND, INK, FAINT, NEW = "#eef3f6", "#fbfaf6", "#1b1b1b", "#8a8f94", "#1b1b1b"
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6a51a3", "#7f6000")
ELSEWHERE, NOBODY, TWICE = "#6b6b6b", "#d7191c", "#7b3294"

Colour = str
_Box = tuple[float, float, float, float]


def draw(
    areas: Mapping[str, shapely.Geometry],
    before: Mapping[str, shapely.Geometry] | None,
    report: Report,
    *,
    title: str,
    attribution: str,
    focus: Collection[str] = (),
) -> bytes:
    """A map of these areas (EPSG:27700, by force) with what the report says of them; `focus`: on which it looks.

    Without a force of `focus` among them it looks on all.
    """
    before = before or {}
    shown = [force for force in sorted(focus) if force in areas or force in before] or sorted(areas)
    places = [area for one in (areas, before) for force, area in one.items() if force in shown]
    view = _View(_box(places))
    hues = {force: HUES[at % len(HUES)] for at, force in enumerate(shown)}

    picture = Image.new("RGB", (WIDTH * FINER, (view.height + TOP + BOTTOM) * FINER), "white")
    painted = Image.new("RGB", (view.width * FINER, view.height * FINER), SEA)
    map_ = _Map(painted, view)
    for force, area in sorted(areas.items(), key=lambda one: -shapely.area(one[1])):
        map_.fill(area, _tint(hues[force]) if focus and force in hues else LAND)
    for area in before.values():
        map_.outline(area, FAINT, 1)
    for moved in report.moved:
        map_.fill(moved.lost, NOBODY if moved.force not in areas else ELSEWHERE)
    for moved in report.moved:
        if moved.force not in hues:
            map_.fill(moved.gained, ELSEWHERE)
    for moved in report.moved:
        if moved.force in hues:
            map_.fill(moved.gained, hues[moved.force])
    for moved in report.moved:
        map_.fill(_nobody_s(moved, areas), NOBODY)
    for area in areas.values():
        map_.outline(area, NEW, 3)
    for place in (*report.gaps, *report.overlaps):
        map_.fill(place.polygon, NOBODY if place.gap else TWICE)
        map_.mark(place.polygon, NOBODY if place.gap else TWICE)
    map_.scale()
    picture.paste(painted, (MARGIN * FINER, TOP * FINER))

    page = _Page(picture)
    page.text(MARGIN, 16, title[:80], 26)
    _legend(page, report, hues if focus or len(hues) <= len(HUES) else {}, bool(before))
    for number, line in enumerate(textwrap.wrap(attribution, 185)[:2]):
        page.text(MARGIN, TOP + view.height + 8 + 16 * number, line, 12)
    finished = picture.resize((picture.width // FINER, picture.height // FINER), Image.Resampling.BOX)
    file = io.BytesIO()
    finished.quantize(128).save(file, "PNG", optimize=True)
    return file.getvalue()


def _nobody_s(moved: Moved, areas: Mapping[str, shapely.Geometry]) -> shapely.Geometry:
    """Of what it lost, what no force has now."""
    parts = shapely.get_parts(moved.lost)
    inside = shapely.point_on_surface(parts)
    taken = np.zeros(len(parts), dtype=bool)
    for area in areas.values():
        shapely.prepare(area)
        taken |= shapely.contains(area, inside)
    return shapely.MultiPolygon(list(parts[~taken]))


def _box(places: Sequence[shapely.Geometry]) -> _Box:
    if not places:
        return 0.0, 0.0, 700_000.0, 700_000.0
    west, south, east, north = shapely.total_bounds(np.array(places))
    beyond = 0.03 * max(east - west, north - south, 1_000.0)
    return west - beyond, south - beyond, east + beyond, north + beyond


def _tint(colour: Colour) -> Colour:
    """The colour, thinned."""
    return "#" + "".join(f"{255 - (255 - int(colour[at : at + 2], 16)) // 6:02x}" for at in (1, 3, 5))


def _square(area_m2: float) -> str:
    """As sentences say it, in letters that the font has."""
    return re.sub("(k?m)²", r"sq \1", square(area_m2))


class _View:
    """Which part of the country is drawn, and how large."""

    def __init__(self, box: _Box) -> None:
        west, south, east, north = box
        self.width = WIDTH - LEGEND - 2 * MARGIN
        self.metres = max((east - west) / self.width, (north - south) / MAX_HEIGHT)
        """A pixel's."""
        self.height = max(MIN_HEIGHT, round((north - south) / self.metres))
        middle_x, middle_y = (west + east) / 2, (south + north) / 2
        self.west = middle_x - self.width * self.metres / 2
        self.north = middle_y + self.height * self.metres / 2
        self.box = shapely.box(
            self.west, self.north - self.height * self.metres, self.west + self.width * self.metres, self.north
        )

    def pixels(self, ring: shapely.Geometry) -> list[tuple[float, float]]:
        corners = (shapely.get_coordinates(ring) - (self.west, self.north)) * (FINER / self.metres)
        return [(float(x), float(-y)) for x, y in corners]


class _Map:
    def __init__(self, image: Image.Image, view: _View) -> None:
        self._image, self._view = image, view
        self._draw = ImageDraw.Draw(image)

    def _parts(self, area: shapely.Geometry) -> NDArray[np.object_]:
        """What of it is seen, with no more corners than are seen."""
        finest = self._view.metres / (2 * FINER)
        simpler = shapely.simplify(shapely.get_parts(area), finest, preserve_topology=True)
        parts: NDArray[np.object_] = simpler[shapely.intersects(shapely.envelope(simpler), self._view.box)]
        return parts

    def fill(self, area: shapely.Geometry, colour: Colour) -> None:
        for part in self._parts(area):
            outline = self._view.pixels(shapely.get_exterior_ring(part))
            if not shapely.get_num_interior_rings(part):
                self._draw.polygon(outline, fill=colour)
                continue
            mask = Image.new("1", self._image.size)
            within = ImageDraw.Draw(mask)
            within.polygon(outline, fill=1)
            for hole in range(shapely.get_num_interior_rings(part)):
                within.polygon(self._view.pixels(shapely.get_interior_ring(part, hole)), fill=0)
            self._image.paste(colour, (0, 0), mask)

    def outline(self, area: shapely.Geometry, colour: Colour, width: int) -> None:
        for ring in shapely.get_rings(self._parts(area)):
            self._draw.line(self._view.pixels(ring), fill=colour, width=width)

    def mark(self, polygon: shapely.Geometry, colour: Colour) -> None:
        """A circle around it, so that it is seen however small it is."""
        west, south, east, north = shapely.bounds(polygon)
        [(x, y)] = self._view.pixels(shapely.points((west + east) / 2, (south + north) / 2))
        radius = FINER * (8 + max(east - west, north - south) / 2 / self._view.metres)
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2 * FINER)

    def scale(self) -> None:
        """A bar of a round number of kilometres."""
        kilometres = next(
            (km for km in (200, 100, 50, 20, 10, 5, 2) if km * 1_000 / self._view.metres < self._view.width / 4), 1
        )
        left, bottom = 12 * FINER, (self._view.height - 14) * FINER
        right = left + kilometres * 1_000 / self._view.metres * FINER
        self._draw.line([(left, bottom - 8), (left, bottom), (right, bottom), (right, bottom - 8)], fill=INK, width=3)
        self._draw.text((left, bottom - 40), f"{kilometres} km", fill=INK, font=ImageFont.load_default(12 * FINER))


class _Page:
    """The picture in pixels as it will be."""

    def __init__(self, image: Image.Image) -> None:
        self._draw = ImageDraw.Draw(image)

    def text(self, x: float, y: float, words: str, size: int, colour: Colour = INK) -> None:
        self._draw.text((x * FINER, y * FINER), words, fill=colour, font=ImageFont.load_default(size * FINER))

    def patch(self, x: float, y: float, colour: Colour) -> None:
        self._draw.rectangle([x * FINER, y * FINER, (x + 22) * FINER, (y + 13) * FINER], fill=colour, outline=FAINT)

    def line(self, x: float, y: float, colour: Colour, width: int) -> None:
        self._draw.line([x * FINER, y * FINER, (x + 22) * FINER, y * FINER], fill=colour, width=width)


def _legend(page: _Page, report: Report, hues: Mapping[str, Colour], has_before: bool) -> None:
    x, y = WIDTH - LEGEND, TOP + 4
    page.line(x, y + 7, NEW, 4)
    page.text(x + 32, y, "borders as they would be", 14)
    y += 24
    if has_before:
        page.line(x, y + 7, FAINT, 2)
        page.text(x + 32, y, "borders before", 14)
        y += 24
    page.text(x, y + 8, "What changes hands", 16)
    y += 34
    moved = {one.force: one for one in report.moved}
    rows = [(force, hue) for force, hue in hues.items() if force in moved]
    for force, hue in rows[:MAX_ROWS]:
        page.patch(x, y, hue)
        page.text(x + 32, y - 1, f"{force} gains", 14)
        one = moved[force]
        page.text(x + 32, y + 17, f"{_square(one.gained_m2)}; it loses {_square(one.lost_m2)} ({one.share:.1%})", 13)
        page.text(x + 32, y + 34, f"and moves by up to {one.moved_m:,.0f} m", 13)
        y += 60
    if not report.moved:
        page.text(x, y, "nothing" if has_before else "there was nothing before", 14)
        y += 26
    for colour, words in ((ELSEWHERE, "goes to another force"), (NOBODY, "goes to nobody")):
        if report.moved:
            page.patch(x, y, colour)
            page.text(x + 32, y - 1, words, 14)
            y += 24
    page.text(x, y + 8, "What is wrong", 16)
    y += 34
    faults: list[tuple[Colour, str]] = []
    if report.gaps:
        faults.append((NOBODY, f"gaps: {len(report.gaps)}"))
    if report.overlaps:
        faults.append((TWICE, f"overlaps: {len(report.overlaps)}"))
    for colour, words in faults:
        page.patch(x, y, colour)
        page.text(x + 32, y - 1, f"{words} (circled)", 14)
        y += 24
    absent = [f"no area: {', '.join(report.missing)}"] if report.missing else []
    for sentence in absent or ([] if faults else ["no gaps, no overlaps, nobody missing"]):
        for line in textwrap.wrap(sentence, 42)[:4]:
            page.text(x, y, line, 14)
            y += 20
