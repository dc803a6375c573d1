"""Neighbourhood areas, from a GeoJSON file into the event store: each force's own, a generation a force.

Invariants
  * A generation of a force never changes: its name stands for these areas for ever.
  * An area is the force's in which a point of it lies by the boundaries in use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import shapely

from libs.events.log.database import Database
from libs.events.log.errors import Conflict
from libs.events.types.directory import AreaChunkPublished, NeighbourhoodRef, NeighbourhoodsActivated
from libs.places import Atlas, encode_area, sha256_of
from libs.places.neighbourhoods import Neighbourhood
from libs.places.quadtree import AREAL
from services.directory.alliance_file import Unusable
from services.directory.boundaries import GenerationChanged, chunk_subject
from services.directory.forces import Change
from services.directory.geometry import read_generation
from services.directory.load import TRIES, say
from services.directory.named_places import features_of, place_of, texts_of
from services.directory.stored import Stored

TOGETHER_BYTES = 2 * 1024 * 1024
"""Of geometry in one transaction."""
MAX_NAME = 200


def subject_of(force: str) -> str:
    return f"neighbourhoods/{force}"


def read_file(path: Path, id_member: str, name_member: str) -> dict[Neighbourhood, shapely.Geometry]:
    """The areas of a GeoJSON file (RFC 7946: WGS 84 degrees) in metres, with the names its properties give them.

    Raises Unusable, with a sentence for whoever has the file.
    """
    areas: dict[Neighbourhood, shapely.Geometry] = {}
    ids: set[str] = set()
    for where, feature in features_of(path):
        one = Neighbourhood(*texts_of(feature, (id_member, name_member), MAX_NAME, where))
        if one.id in ids:
            raise Unusable(f"{where}: {one.id} is there twice.")
        ids.add(one.id)
        area = place_of(feature, AREAL, "a Polygon or a MultiPolygon", where)
        if not shapely.is_valid(area):
            area = shapely.make_valid(area, method="structure", keep_collapsed=False)
        areas[one] = area
    return areas


def by_force(
    areas: Mapping[Neighbourhood, shapely.Geometry], atlas: Atlas
) -> dict[str, dict[Neighbourhood, shapely.Geometry]]:
    """Each force's; what lies in no force's area is left out."""
    found: dict[str, dict[Neighbourhood, shapely.Geometry]] = {}
    for one, area in areas.items():
        inside = shapely.point_on_surface(area)
        located = atlas.locate_grid(inside.x, inside.y)
        if located.candidates:
            found.setdefault(located.candidates[0].force, {})[one] = area
    return found


def plan(
    force: str,
    generation: str,
    source: str,
    areas: Mapping[Neighbourhood, shapely.Geometry],
    *,
    stored: Collection[str],
    in_force: NeighbourhoodsActivated | None,
) -> tuple[list[AreaChunkPublished], NeighbourhoodsActivated | None]:
    """The pieces that are not `stored`, and the activation; nothing where it is in force already.

    Raises GenerationChanged.
    """
    contents: dict[str, bytes] = {}
    refs = []
    for one in sorted(areas):
        chunks = encode_area(areas[one])
        hashes = tuple(map(sha256_of, chunks))
        contents.update(zip(hashes, chunks, strict=True))
        refs.append(NeighbourhoodRef(id=one.id, name=one.name, hashes=hashes))
    activation = NeighbourhoodsActivated(force=force, generation=generation, source=source, areas=tuple(refs))
    if in_force is not None and in_force.generation == generation:
        if in_force != activation:
            raise GenerationChanged(generation)
        return [], None
    missing = [
        AreaChunkPublished(sha256=sha256, content=content)
        for sha256, content in contents.items()
        if chunk_subject(sha256) not in stored
    ]
    return missing, activation


async def load_neighbourhoods(
    database: Database,
    areas: Mapping[Neighbourhood, shapely.Geometry],
    generation: str,
    source: str,
    forces: Collection[str] = (),
) -> dict[str, int]:
    """Make these the neighbourhoods of the forces they lie in (only of `forces`, where some are named): how many each.

    Loaded again, it appends nothing. Raises Unusable without boundaries, GenerationChanged, Unavailable, and Conflict
    where others never stop writing.
    """
    stored = Stored()
    await stored.catch_up(database)
    if stored.alliance.boundaries is None:
        raise Unusable("No boundaries are in force yet: load an alliance first, then its neighbourhoods.")
    found = by_force(areas, (await read_generation(database, stored.alliance.boundaries)).atlas)
    wanted = {force: theirs for force, theirs in found.items() if not forces or force in forces}
    for force, theirs in sorted(wanted.items()):
        await _load_force(database, stored, force, generation, source, theirs)
    return {force: len(theirs) for force, theirs in sorted(wanted.items())}


async def _load_force(
    database: Database,
    stored: Stored,
    force: str,
    generation: str,
    source: str,
    areas: Mapping[Neighbourhood, shapely.Geometry],
) -> None:
    for left in reversed(range(TRIES)):
        await stored.catch_up(database)
        in_force = stored.alliance.neighbourhoods.get(force)
        chunks, activation = plan(force, generation, source, areas, stored=stored.versions, in_force=in_force)
        if activation is None:
            return
        try:
            for together in _batches(chunks):
                await say(database, stored, [Change(chunk_subject(chunk.sha256), chunk) for chunk in together])
            await say(database, stored, [Change(subject_of(force), activation)])
        except Conflict:
            if not left:
                raise
        else:
            return


def _batches(chunks: Sequence[AreaChunkPublished]) -> Iterator[list[AreaChunkPublished]]:
    batch: list[AreaChunkPublished] = []
    size = 0
    for chunk in chunks:
        if batch and size + len(chunk.content) > TOGETHER_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += len(chunk.content)
    if batch:
        yield batch
