"""A generation of boundaries, and the facts that bring it into force. Pure.

Invariants
  * A generation never changes: its name stands for these areas for ever.
  * A piece of geometry is published once, under the hash of its content, before the activation that names it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from libs.alliance.generations import Drawing
from libs.events.types import Fact
from libs.events.types.directory import (
    AreaChunkPublished,
    AreaRef,
    BoundariesActivated,
    BoundariesImported,
    BoundariesReport,
    EntityWithdrawn,
    GapOverlapFound,
)
from libs.places import encode_area, sha256_of
from services.directory.history import History

if TYPE_CHECKING:
    import shapely

SUBJECT = "boundaries/all"
"""The stream of imports and activations: one, for the areas of all forces change together, and what is activated must
be what was imported last."""
GENERATION_NAME = "(?!generations$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""What an operator may call one. `generations` is the address of all of them."""
LAYERS = ("urn:service:sos.police", "urn:emergency:service:responder.police")
"""The services whose boundaries these are."""


class GenerationChanged(Exception):
    """The generation in force has this name and other areas."""

    def __init__(self, generation: str) -> None:
        super().__init__(
            f"The boundaries {generation} are in force already, with other areas: a generation never changes, so give "
            "the new areas a name of their own."
        )


@dataclass(frozen=True)
class Plan:
    """What is left to say: first the pieces, in any order and any number of steps, then the activation."""

    chunks: tuple[AreaChunkPublished, ...]
    activation: BoundariesActivated | None
    """None: the generation is in force already."""


def chunk_subject(sha256: str) -> str:
    return f"area/{sha256}"


def stays(history: History, shipped: str) -> str | None:
    """Why the boundaries in force are not to be replaced by those that come with the product, in a sentence; None: they
    are, or nothing is in force.

    What somebody imported stays, whatever is loaded. Of what was shipped the later one rules: one that has been in
    force here and is so no more is not gone back to by loading an older release.
    """
    standing = history.in_force.fact.generation if history.in_force is not None else None
    if standing in (None, shipped):
        return None
    if standing in history.imported:
        return f"The boundaries {standing}, which were imported, stay in force; {shipped} come with this release."
    if history.was_in_force(shipped):
        return (
            f"The boundaries {standing} stay in force: {shipped}, which come with this release, were in force before."
        )
    return None


def plan(
    generation: str,
    attribution: str,
    accuracy_m: float,
    areas: Mapping[str, shapely.Geometry],
    *,
    stored: Collection[str],
    in_force: BoundariesActivated | None,
) -> Plan:
    """What to say so that these areas (EPSG:27700, by force) rule.

    `stored` are the subjects of the streams there are. Raises GenerationChanged, and ValueError for what is no area.
    """
    refs, contents = named({force: encode_area(area) for force, area in areas.items()})
    activation = BoundariesActivated(generation=generation, source=attribution, accuracy_m=accuracy_m, areas=refs)
    if in_force is not None and in_force.generation == generation:
        if in_force != activation:
            raise GenerationChanged(generation)
        return Plan((), None)
    return Plan(unsaid(contents, stored), activation)


def named(areas: Mapping[str, Sequence[bytes]]) -> tuple[tuple[AreaRef, ...], dict[str, bytes]]:
    """The areas by the names of their pieces, and the pieces by name."""
    contents: dict[str, bytes] = {}
    refs = []
    for force in sorted(areas):
        hashes = tuple(map(sha256_of, areas[force]))
        contents.update(zip(hashes, areas[force], strict=True))
        refs.append(AreaRef(force=force, hashes=hashes))
    return tuple(refs), contents


def unsaid(contents: Mapping[str, bytes], stored: Collection[str]) -> tuple[AreaChunkPublished, ...]:
    """The pieces whose streams are not among those stored."""
    return tuple(
        AreaChunkPublished(sha256=sha256, content=content)
        for sha256, content in contents.items()
        if chunk_subject(sha256) not in stored
    )


class NoSuchGeneration(Exception):
    """Nothing was imported under this name, and it was never in force."""


class Blocked(Exception):
    """The report forbids it. `blocking` are its sentences."""

    def __init__(self, generation: str, blocking: tuple[str, ...]) -> None:
        super().__init__(f"The report on {generation} forbids its activation: {' '.join(blocking)}")
        self.blocking = blocking


@dataclass(frozen=True)
class Who:
    """Who says it."""

    by: str | None = None
    """The token's subject. None: a command."""
    traceparent: str | None = None


def plan_import(history: History, imported: BoundariesImported) -> BoundariesImported | None:
    """What to say so that this is what the name stands for; None: it does already.

    Raises GenerationChanged where the name has been in force with other areas.
    """
    ruled = history.ruled(imported.generation)
    if ruled is not None and (Drawing.of(ruled), ruled.source) != (Drawing.of(imported), imported.source):
        raise GenerationChanged(imported.generation)
    known = history.imported.get(imported.generation)
    return None if known is not None and replace(imported, by=known.fact.by) == known.fact else imported


def plan_activation(
    history: History,
    generation: str,
    agencies: Mapping[str, str],
    who: Who,
    reason: str | None,
    now: datetime,
    *,
    override: bool,
) -> list[tuple[str, Fact]]:
    """What to say, by stream, in one step, so that the generation rules: the activation, the gaps and overlaps that are
    new, and the end of those that are gone. Nothing where it is in force.

    What was in force before may be gone back to whatever its report says: it was answered for. `agencies` are the
    domain names of forces. Raises NoSuchGeneration, Blocked.
    """
    known = history.of(generation)
    if known is None:
        raise NoSuchGeneration(generation)
    if history.in_force is not None and Drawing.of(history.in_force.fact) == Drawing.of(known):
        return []
    imported = history.imported.get(generation)
    against = imported.fact.report.blocking if imported is not None else ()
    if against and not override and not history.was_in_force(generation):
        raise Blocked(generation, against)
    activation = BoundariesActivated(
        generation=generation,
        source=known.source,
        accuracy_m=known.accuracy_m,
        areas=known.areas,
        by=who.by,
        reason=reason,
        overridden=against if override else (),
    )
    found = _gaps_and_overlaps(generation, imported.fact.report if imported is not None else None, agencies, now)
    return [(SUBJECT, activation), *_changed(history, found, generation)]


def gap_subject(gap: str) -> str:
    return f"gap-overlap/{gap}"


def _gaps_and_overlaps(
    generation: str, report: BoundariesReport | None, agencies: Mapping[str, str], now: datetime
) -> dict[str, GapOverlapFound]:
    found = {}
    for one in report.largest if report is not None else ():
        name = hashlib.sha256(msgspec.json.encode((one.gap, one.forces, one.polygon.exterior))).hexdigest()[:32]
        found[name] = GapOverlapFound(
            id=name,
            agencies=tuple(agencies.get(force, force) for force in one.forces),
            layers=LAYERS,
            gap=one.gap,
            date_time=now,
            area=one.polygon,
            area_m2=one.area_m2,
            generation=generation,
        )
    return found


def _changed(history: History, found: Mapping[str, GapOverlapFound], generation: str) -> list[tuple[str, Fact]]:
    said: list[tuple[str, Fact]] = [
        (gap_subject(name), one) for name, one in found.items() if name not in history.gaps_and_overlaps
    ]
    reason = f"not in the boundaries {generation}"
    gone = [gap_subject(name) for name in history.gaps_and_overlaps if name not in found]
    return said + [(subject, EntityWithdrawn(entity=subject, reason=reason)) for subject in gone]
