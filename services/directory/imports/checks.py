"""What is wrong with boundaries that were read, and what they change: found before they are put in force.

All borders are laid over each other once, and each face between them is asked whose it is, by the new borders and by
those before; so that gaps, overlaps and moves are seen alike, and each place in one of them alone.

Invariant: the report is no longer than its limits, whatever the areas are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import shapely

from services.directory.imports.faces import Face, distance_moved, faces_of, thick
from services.directory.imports.reading import Drawn
from services.directory.imports.report import GapOverlap, Moved, Report
from services.directory.imports.sentences import blocking, notes

ACCURACY_M = 20.0
"""How far from a drawn border the truth may lie, where nobody says: ONS's generalised boundaries (BGC)."""
EXPECTED_SHARE = 0.01
"""Of a force's area. Between two years' boundaries next to nothing moves: a parish at a time."""
EXPECTED_M = 250.0
"""How far a border may move beyond what the drawings' accuracies explain. Between a street and the next but two: more
moves people from one force to another."""
TOUCHING_M = 1.0
MAX_LISTED = 200
"""Of gaps, of overlaps, and of each force's changed parts: the largest."""


def examine(
    drawn: Drawn,
    before: Mapping[str, shapely.Geometry] | None,
    expected: Collection[str],
    *,
    accuracy_m: float = ACCURACY_M,
    accuracy_before_m: float = ACCURACY_M,
) -> Report:
    """What is wrong with the areas, and what they change against those before (EPSG:27700, by force).

    `expected` are the forces that must have an area: the alliance's members.
    """
    noise_m = accuracy_m + (accuracy_before_m if before is not None else 0.0)
    gaps, gap_slivers, overlaps, overlap_slivers = _gaps_and_overlaps(drawn.areas, accuracy_m)
    members = frozenset(expected)
    report = Report(
        missing=tuple(sorted(members - drawn.areas.keys())),
        gone=tuple(sorted((before or {}).keys() - drawn.areas.keys() - members)),
        unknown=drawn.unknown,
        repaired=drawn.repaired,
        gaps=gaps,
        overlaps=overlaps,
        gap_slivers=gap_slivers,
        overlap_slivers=overlap_slivers,
        moved=() if before is None else tuple(_moves(drawn.areas, before, noise_m)),
        noise_m=noise_m,
    )
    return replace(report, blocking=tuple(blocking(report, members)), notes=tuple(notes(report, members)))


def _gaps_and_overlaps(
    areas: Mapping[str, shapely.Geometry], accuracy_m: float
) -> tuple[tuple[GapOverlap, ...], int, tuple[GapOverlap, ...], int]:
    """Gaps, and how many slivers there are beside; overlaps likewise."""
    faces = [face for face in faces_of(areas) if len(face.after) != 1]
    wide = thick(faces, accuracy_m)
    found: dict[bool, list[GapOverlap]] = {True: [], False: []}
    slivers = {True: 0, False: 0}
    tree = Neighbours(areas)
    for face, is_wide in zip(faces, wide, strict=True):
        gap = not face.after
        if is_wide:
            found[gap].append(GapOverlap(gap, tuple(sorted(face.after)), face.polygon, face.area_m2))
        else:
            slivers[gap] += 1
    gaps, overlaps = (sorted(one, key=lambda one: -one.area_m2)[:MAX_LISTED] for one in (found[True], found[False]))
    named = tuple(replace(gap, forces=tree.around(gap.polygon)) for gap in gaps)
    return named, slivers[True], tuple(overlaps), slivers[False]


class Neighbours:
    """Who is around a place."""

    def __init__(self, areas: Mapping[str, shapely.Geometry]) -> None:
        self._forces = list(areas)
        self._tree = shapely.STRtree(list(areas.values()))

    def around(self, polygon: shapely.Geometry) -> tuple[str, ...]:
        near = self._tree.query(polygon, predicate="dwithin", distance=TOUCHING_M)
        return tuple(sorted(self._forces[at] for at in near))


def _moves(
    areas: Mapping[str, shapely.Geometry], before: Mapping[str, shapely.Geometry], noise_m: float
) -> Iterator[Moved]:
    """What changes for each force, in order; nothing for those whose area stays."""
    changed = [face for face in faces_of(areas, before) if face.after != face.before]
    wide = thick(changed, noise_m)
    theirs: dict[str, list[tuple[Face, bool]]] = defaultdict(list)
    for face, is_wide in zip(changed, wide, strict=True):
        for force in face.after ^ face.before:
            theirs[force].append((face, is_wide))
    for force in sorted(theirs):
        yield _moved(force, theirs[force], areas.get(force), before.get(force), noise_m)


def _moved(
    force: str,
    faces: Sequence[tuple[Face, bool]],
    after: shapely.Geometry | None,
    before: shapely.Geometry | None,
    noise_m: float,
) -> Moved:
    parts = [face for face, is_wide in faces if is_wide]
    gained = [face for face in parts if force in face.after]
    lost = [face for face in parts if force in face.before]
    between = [face for face in parts if (face.before if force in face.after else face.after)]
    exchanged: dict[str, tuple[float, float]] = {}
    for mine, other in [(face, other) for face in between for other in (face.before | face.after) - {force}]:
        won, gone = exchanged.get(other, (0.0, 0.0))
        if force in mine.after and other in mine.before:
            won += mine.area_m2
        if force in mine.before and other in mine.after:
            gone += mine.area_m2
        exchanged[other] = (won, gone)
    before_m2 = 0.0 if before is None else float(shapely.area(before))
    moved = Moved(
        force=force,
        before_m2=before_m2,
        after_m2=0.0 if after is None else float(shapely.area(after)),
        gained_m2=sum(face.area_m2 for face in gained),
        lost_m2=sum(face.area_m2 for face in lost),
        to_nobody_m2=sum(face.area_m2 for face in lost if not face.after),
        exchanged=exchanged,
        moved_m=distance_moved([face.polygon for face in between], before, after),
        slivers=len(faces) - len(parts),
        slivers_m2=sum(face.area_m2 for face, is_wide in faces if not is_wide),
        gained=_largest(gained),
        lost=_largest(lost),
        more_than_expected=False,
    )
    many = before_m2 > 0.0 and (moved.share > EXPECTED_SHARE or moved.moved_m > noise_m + EXPECTED_M)
    return replace(moved, more_than_expected=many)


def _largest(faces: Sequence[Face]) -> shapely.Geometry:
    return shapely.MultiPolygon([face.polygon for face in sorted(faces, key=lambda face: -face.area_m2)[:MAX_LISTED]])
