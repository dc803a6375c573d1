"""Generations of boundaries and what was found in them, as documents."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from urllib.parse import quote

from libs.events.types.directory import BoundariesReport
from libs.service.bodies import Answer
from services.directory.answers import AreaAnswer
from services.directory.history import History


class SpanAnswer(Answer):
    since: datetime
    until: datetime | None
    """Null: it is in force."""


class GenerationListed(Answer):
    generation: str
    source: str
    """Whose areas they are, as their licence asks it to be said."""
    accuracy_metres: float
    """How far from a drawn border the truth may lie."""
    state: Literal["imported", "in-force", "past"]
    """`imported`: it has never been in force."""
    in_force: list[SpanAnswer]
    """When it was, in order."""
    imported_at: datetime | None
    """Null: it came with the product."""
    imported_by: str | None


class GapOverlapAnswer(Answer):
    gap: bool
    """Nobody's, with forces all around it; false: several forces'."""
    forces: list[str]
    area_m2: float
    outline: list[tuple[float, float]]
    """Corners as latitude and longitude; drawn simpler where there are many."""


class MovedAnswer(Answer):
    force: str
    before_m2: float
    after_m2: float
    gained_m2: float
    lost_m2: float
    to_nobody_m2: float
    """Of what it lost: what no force has now."""
    moved_m: float
    """How far its border moved where it moved furthest between forces."""
    more_than_expected: bool


class ReportAnswer(Answer):
    format: str
    crs: str
    compared_with: str | None
    """The generation that was in force when it was made."""
    missing: list[str]
    """Members of the alliance without an area."""
    gone: list[str]
    """Other forces that had an area before and have none now."""
    unknown: list[str]
    """What the file calls those of its areas that are no known force's."""
    repaired: list[str]
    """Forces whose outline crossed itself and was put right."""
    gaps: int
    overlaps: int
    largest: list[GapOverlapAnswer]
    """Of the gaps and overlaps."""
    moved: list[MovedAnswer]
    blocking: list[str]
    """Sentences: what forbids activation, unless it is overridden."""
    notes: list[str]


class GenerationAnswer(GenerationListed):
    blocking: list[str]
    """What forbids its activation; empty for one that has been in force."""
    picture: str
    """The address of a map of what it changes."""
    report: ReportAnswer | None
    """Null: it came with the product, or was never checked."""
    areas: list[AreaAnswer]


def listed(history: History, generation: str) -> GenerationListed:
    return GenerationListed(**_listed(history, generation))


def shown(history: History, generation: str) -> GenerationAnswer:
    known = history.of(generation)
    assert known is not None
    imported = history.imported.get(generation)
    report = imported.fact.report if imported is not None else None
    blocking = report.blocking if report is not None and not history.was_in_force(generation) else ()
    return GenerationAnswer(
        **_listed(history, generation),
        blocking=list(blocking),
        picture=f"/v1/boundaries/{quote(generation, safe='')}/picture",
        report=None if report is None else _report(report),
        areas=[AreaAnswer(force=area.force, hashes=list(area.hashes)) for area in known.areas],
    )


def _listed(history: History, generation: str) -> dict[str, object]:
    known = history.of(generation)
    assert known is not None
    imported = history.imported.get(generation)
    spans = history.spans(generation)
    now = bool(spans) and spans[-1].until is None
    return {
        "generation": generation,
        "source": known.source,
        "accuracy_metres": known.accuracy_m,
        "state": "in-force" if now else "past" if spans else "imported",
        "in_force": [SpanAnswer(since=span.since, until=span.until) for span in spans],
        "imported_at": None if imported is None else imported.at,
        "imported_by": None if imported is None else imported.fact.by,
    }


def _report(report: BoundariesReport) -> ReportAnswer:
    members = {name: getattr(report, name) for name in report.__struct_fields__}
    members["largest"] = [
        GapOverlapAnswer(gap=one.gap, forces=list(one.forces), area_m2=one.area_m2, outline=list(one.polygon.exterior))
        for one in report.largest
    ]
    return ReportAnswer.model_validate(members)
