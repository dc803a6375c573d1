"""A file of boundaries read and examined, and a generation drawn: the work that is done in a process apart
(`apart.py`), on plain values. Pure but for reading the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import shapely

from libs.events.types.directory import AreaMoved, BoundariesReport, FoundGapOverlap
from libs.events.types.shapes import Polygon
from libs.places import decode_area, encode_area
from libs.places.grid import to_wgs84_many
from services.directory.forces import KnownForce
from services.directory.imports.checks import examine
from services.directory.imports.reading import Drawn, read_boundaries

if TYPE_CHECKING:
    from services.directory.imports.report import GapOverlap, Report

LARGEST = 40
"""Of the gaps, and of the overlaps, that a report shows."""
CORNERS = 64
"""Of the outline of each."""
_SIMPLER_M = (5.0, 20.0, 100.0, 500.0, 2_000.0)


class Standing(msgspec.Struct, frozen=True):
    """A generation, as it is handed over."""

    generation: str
    accuracy_m: float
    areas: Mapping[str, Sequence[bytes]]
    """The pieces of each force's area, by force."""

    def drawn(self) -> dict[str, shapely.Geometry]:
        return {force: decode_area(pieces) for force, pieces in self.areas.items()}


class Checked(msgspec.Struct, frozen=True):
    """What an import comes to."""

    areas: dict[str, tuple[bytes, ...]]
    """The pieces of each force's area, by force."""
    report: BoundariesReport


def check_file(
    path: str, accuracy_m: float, known: Sequence[KnownForce], members: Sequence[str], before: Standing | None
) -> Checked:
    """Raises Unusable."""
    drawn = read_boundaries(Path(path).read_bytes(), known)
    report = _reported(drawn, _examined(drawn, accuracy_m, members, before), before)
    return Checked({force: encode_area(area) for force, area in drawn.areas.items()}, report)


def check_again(
    one: Standing, was: BoundariesReport, members: Sequence[str], before: Standing | None
) -> BoundariesReport:
    """The report of a generation that is stored, against what is in force now."""
    drawn = _stored(one, was)
    return _reported(drawn, _examined(drawn, one.accuracy_m, members, before), before)


def picture(
    one: Standing, attribution: str, was: BoundariesReport, members: Sequence[str], before: Standing | None
) -> bytes:
    """A PNG: the generation, and what it changes."""
    from services.directory.imports.picture import draw  # what draws is loaded by whoever draws

    drawn = _stored(one, was)
    report = _examined(drawn, one.accuracy_m, members, before)
    title = f"Boundaries {one.generation}" + (f" against {before.generation}" if before is not None else "")
    areas_before = None if before is None else before.drawn()
    return draw(drawn.areas, areas_before, report, title=title, attribution=attribution, focus=members)


def _stored(one: Standing, was: BoundariesReport) -> Drawn:
    return Drawn(one.drawn(), was.unknown, was.repaired, was.format, was.crs)


def _examined(drawn: Drawn, accuracy_m: float, members: Sequence[str], before: Standing | None) -> Report:
    if before is None:
        return examine(drawn, None, members, accuracy_m=accuracy_m)
    return examine(drawn, before.drawn(), members, accuracy_m=accuracy_m, accuracy_before_m=before.accuracy_m)


def _reported(drawn: Drawn, report: Report, before: Standing | None) -> BoundariesReport:
    return BoundariesReport(
        format=drawn.format,
        crs=drawn.crs,
        compared_with=None if before is None else before.generation,
        missing=report.missing,
        gone=report.gone,
        unknown=report.unknown,
        repaired=report.repaired,
        gaps=len(report.gaps),
        overlaps=len(report.overlaps),
        largest=tuple(_found(one) for one in (*report.gaps[:LARGEST], *report.overlaps[:LARGEST])),
        moved=tuple(
            AreaMoved(**{name: getattr(one, name) for name in AreaMoved.__struct_fields__}) for one in report.moved
        ),
        blocking=report.blocking,
        notes=report.notes,
    )


def _found(one: GapOverlap) -> FoundGapOverlap:
    return FoundGapOverlap(gap=one.gap, forces=one.forces, area_m2=round(one.area_m2, 1), polygon=_outline(one.polygon))


def _outline(polygon: shapely.Geometry) -> Polygon:
    """In degrees, with no more than CORNERS corners; holes are left out."""
    ring = shapely.get_exterior_ring(polygon)
    for tolerance in _SIMPLER_M:
        if shapely.get_num_coordinates(ring) <= CORNERS:
            break
        ring = shapely.simplify(ring, tolerance)
    if shapely.get_num_coordinates(ring) > CORNERS:
        ring = shapely.get_exterior_ring(shapely.envelope(polygon))
    places = to_wgs84_many(shapely.get_coordinates(ring))
    return Polygon(exterior=tuple((round(lat, 6), round(lon, 6)) for lat, lon in places.tolist()))
