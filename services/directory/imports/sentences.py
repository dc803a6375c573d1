"""The report in sentences: what forbids activation, and what else people should know."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from services.directory.imports.report import GapOverlap, Moved, Report

MAX_NAMED = 10
"""In one sentence."""


def blocking(report: Report, members: frozenset[str]) -> Iterator[str]:
    """What concerns the alliance's members and must not happen by mistake."""
    if report.missing:
        yield f"The file has no area of {_named(report.missing)}: no call from there would find its owner."
    for kind, places in (("nobody's", report.gaps), ("of several forces", report.overlaps)):
        large = [place for place in places if place.large and members.intersection(place.forces)]
        if large:
            yield _places(large, kind)
    for moved in report.moved:
        if moved.force in members and moved.more_than_expected and moved.after_m2:
            yield _moved(moved)


def notes(report: Report, members: frozenset[str]) -> Iterator[str]:
    """All else."""
    if report.gone:
        yield f"Forces that had an area and have none now: {_named(report.gone)}."
    if report.unknown:
        yield f"The file has areas of no known force, which are left out: {_named(report.unknown)}."
    if report.repaired:
        yield f"Outlines that crossed or touched themselves were put right: {_named(report.repaired)}."
    for kind, places in (("nobody's", report.gaps), ("of several forces", report.overlaps)):
        others = [place for place in places if not (place.large and members.intersection(place.forces))]
        if others:
            yield _places(others, kind)
    for kind, count in (("gap(s)", report.gap_slivers), ("overlap(s)", report.overlap_slivers)):
        if count:
            yield f"Thinner than the drawing is accurate, and not listed: {count} {kind}."
    others_moved = [moved for moved in report.moved if moved.more_than_expected and moved.force not in members]
    if others_moved:
        yield f"Other forces that moved more than expected: {_named([moved.force for moved in others_moved])}."
    slivers = sum(moved.slivers for moved in report.moved)
    if slivers:
        yield (
            f"Thinner than {report.noise_m:.0f} m, which the drawings' accuracies explain, and not listed: {slivers} "
            "changed part(s)."
        )


def _moved(moved: Moved) -> str:
    exchanged = ", ".join(
        f"{square(won)} from and {square(gone)} to {other}"
        for other, (won, gone) in sorted(moved.exchanged.items(), key=lambda one: -sum(one[1]))[:MAX_NAMED]
    )
    nobody = f"; {square(moved.to_nobody_m2)} of what it loses would be nobody's" if moved.to_nobody_m2 else ""
    return (
        f"{moved.force} changes more than expected: it gains {square(moved.gained_m2)} and loses "
        f"{square(moved.lost_m2)} of {square(moved.before_m2)} ({moved.share:.1%}), and its border moves by up to "
        f"{moved.moved_m:.0f} m{f' ({exchanged})' if exchanged else ''}{nobody}."
    )


def _places(places: list[GapOverlap], kind: str) -> str:
    largest = places[0]
    who = ", ".join(largest.forces[:MAX_NAMED])
    at = largest.polygon.representative_point()
    where = f"{square(largest.area_m2)} at {at.x:.0f}, {at.y:.0f} ({who})"
    if len(places) == 1:
        return f"A place would be {kind}: {where}."
    return f"{len(places)} places would be {kind}, the largest of {where}."


def square(area_m2: float) -> str:
    """An area as people say it."""
    return f"{area_m2 / 1e6:,.1f} km²" if area_m2 >= 1e5 else f"{area_m2:,.0f} m²"


def _named(names: Collection[str]) -> str:
    first = ", ".join(sorted(names)[:MAX_NAMED])
    return first if len(names) <= MAX_NAMED else f"{first} and {len(names) - MAX_NAMED} more"
