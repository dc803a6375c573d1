"""A generation of boundaries, and the facts that bring it into force. Pure.

Invariants
  * A generation never changes: its name stands for these areas for ever.
  * A piece of geometry is published once, under the hash of its content, before the activation that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.events.types.directory import AreaChunkPublished, AreaRef, BoundariesActivated
from libs.places import encode_area, sha256_of
from services.directory.history import History

if TYPE_CHECKING:
    import shapely

SUBJECT = "boundaries/all"
"""The stream of activations: one, for the areas of all forces change together."""


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
    contents: dict[str, bytes] = {}
    refs = []
    for force in sorted(areas):
        chunks = encode_area(areas[force])
        hashes = tuple(map(sha256_of, chunks))
        contents.update(zip(hashes, chunks, strict=True))
        refs.append(AreaRef(force=force, hashes=hashes))
    activation = BoundariesActivated(
        generation=generation, source=attribution, accuracy_m=accuracy_m, areas=tuple(refs)
    )
    if in_force is not None and in_force.generation == generation:
        if in_force != activation:
            raise GenerationChanged(generation)
        return Plan((), None)
    missing = tuple(
        AreaChunkPublished(sha256=sha256, content=content)
        for sha256, content in contents.items()
        if chunk_subject(sha256) not in stored
    )
    return Plan(missing, activation)
