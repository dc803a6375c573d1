"""Overlays, from a GeoJSON file or those shipped into the event store: places that suggest a force and decide nothing.

Invariants
  * A generation of an overlay never changes: its name stands for these places for ever.
  * A feature that names no force suggests the force whose place it is, by the boundaries in use.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import shapely

from libs.events.log.database import Database
from libs.events.log.errors import Conflict
from libs.events.types.directory import AreaChunkPublished, OverlayActivated, OverlayFeature, OverlayKind
from libs.places import Atlas, sha256_of
from libs.places.overlays import encode_features
from services.directory.alliance_file import Unusable
from services.directory.boundaries import GenerationChanged, chunk_subject
from services.directory.forces import Change
from services.directory.geometry import read_generation
from services.directory.load import TRIES, say
from services.directory.named_places import features_of, place_of, texts_of
from services.directory.stored import Stored

MAX_FEATURES = 4_000
"""Their names travel in one event. A larger set is cut into several overlays."""
MAX_NAME = 60
_PLACES = range(7)
"""Every type of shapely's but collections of several."""


@dataclass(frozen=True)
class Feature:
    id: str
    name: str
    force: str | None
    place: shapely.Geometry
    """EPSG:27700."""


@dataclass(frozen=True)
class Layer:
    """An overlay as it is brought in."""

    id: str
    name: str
    kind: OverlayKind
    generation: str
    source: str
    within_m: float
    features: Sequence[Feature]


def subject_of(overlay: str) -> str:
    return f"overlay/{overlay}"


_SHIPPED: Mapping[str, tuple[tuple[str, str, OverlayKind, float], ...]] = {
    "airfields.csv": (
        ("airports", "Airports", "airport", 2_000.0),
        ("military-airfields", "Military airfields", "defence", 2_000.0),
    ),
    "stations.csv": (("railway-stations", "Railway stations", "railway", 150.0),),
}
"""By file of `data`: the overlays in it, each with its id, its name, the kind of its rows, and how far it suggests."""


def shipped() -> list[Layer]:
    """Those that come with the product: airfields, civil and military, and railway stations."""
    return [layer for file, layers in _SHIPPED.items() for layer in _layers(file, layers)]


def _layers(file: str, layers: Sequence[tuple[str, str, OverlayKind, float]]) -> Iterator[Layer]:
    lines = resources.files("services.directory").joinpath(f"data/{file}").read_text("utf-8").splitlines()
    head = [line[2:].strip() for line in lines if line.startswith("#")]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    for layer, name, kind, within_m in layers:
        yield Layer(
            id=layer,
            name=name,
            kind=kind,
            generation=head[0],
            source=" ".join(head[1:]),
            within_m=within_m,
            features=[
                Feature(
                    row["id"],
                    row["name"],
                    row["force"] or None,
                    shapely.points(float(row["easting"]), float(row["northing"])),
                )
                for row in rows
                if row["kind"] == kind
            ],
        )


def read_file(path: Path, id_member: str, name_member: str, force: str | None) -> list[Feature]:
    """The features of a GeoJSON file (RFC 7946: WGS 84 degrees): points, lines or areas. Raises Unusable."""
    found = []
    for where, feature in features_of(path, MAX_FEATURES):
        one, name = texts_of(feature, (id_member, name_member), MAX_NAME, where)
        place = place_of(feature, _PLACES, "a point, a line or an area", where)
        found.append(Feature(one, name, force, place if shapely.is_valid(place) else shapely.make_valid(place)))
    if len({feature.id for feature in found}) < len(found):
        raise Unusable(f"{path}: the property {id_member} names two features alike.")
    return found


def plan(
    layer: Layer, atlas: Atlas | None, *, stored: Collection[str], in_force: OverlayActivated | None
) -> tuple[list[AreaChunkPublished], OverlayActivated | None]:
    """The pieces that are not `stored`, and the activation; nothing where it is in force already. A feature for which
    there is no force is left out. Raises GenerationChanged."""
    kept = [
        (feature, force)
        for feature in sorted(layer.features, key=lambda one: one.id)
        if (force := feature.force or _owner(feature.place, atlas)) is not None
    ]
    chunks = encode_features([feature.place for feature, _ in kept])
    activation = OverlayActivated(
        id=layer.id,
        name=layer.name,
        kind=layer.kind,
        generation=layer.generation,
        source=layer.source,
        within_m=layer.within_m,
        features=tuple(OverlayFeature(id=feature.id, name=feature.name, force=force) for feature, force in kept),
        hashes=tuple(map(sha256_of, chunks)),
    )
    if in_force is not None and in_force.generation == layer.generation:
        if _places(in_force) != _places(activation):
            raise GenerationChanged(f"{layer.id} {layer.generation}")
        return [], None
    published = (AreaChunkPublished(sha256=sha256_of(chunk), content=chunk) for chunk in chunks)
    return [chunk for chunk in published if chunk_subject(chunk.sha256) not in stored], activation


def _places(activated: OverlayActivated) -> tuple[object, ...]:
    """What a generation stands for: whose place each was is as the boundaries were when it came into force."""
    return activated.hashes, [(feature.id, feature.name) for feature in activated.features]


def _owner(place: shapely.Geometry, atlas: Atlas | None) -> str | None:
    if atlas is None:
        return None
    inside = shapely.point_on_surface(place)
    found = atlas.locate_grid(inside.x, inside.y)
    return found.candidates[0].force if found.candidates else None


async def load_overlays(database: Database, layers: Sequence[Layer]) -> list[str]:
    """Bring them into force: a sentence for each that changed. Loaded again, it appends nothing.

    Raises GenerationChanged, Unavailable, and Conflict where others never stop writing.
    """
    stored = Stored()
    await stored.catch_up(database)
    boundaries = stored.alliance.boundaries
    needed = any(
        feature.force is None
        for layer in layers
        for feature in layer.features
        if (known := stored.alliance.overlays.get(layer.id)) is None or known.generation != layer.generation
    )
    atlas = (await read_generation(database, boundaries)).atlas if boundaries is not None and needed else None
    return [said for layer in layers if (said := await _load(database, stored, layer, atlas)) is not None]


async def _load(database: Database, stored: Stored, layer: Layer, atlas: Atlas | None) -> str | None:
    for left in reversed(range(TRIES)):
        await stored.catch_up(database)
        in_force = stored.alliance.overlays.get(layer.id)
        if atlas is None and any(feature.force is None for feature in layer.features):
            return None  # it is in force, or there are no boundaries to say whose its places are
        chunks, activation = plan(layer, atlas, stored=stored.versions, in_force=in_force)
        if activation is None:
            return None
        try:
            await say(
                database,
                stored,
                [
                    *(Change(chunk_subject(chunk.sha256), chunk) for chunk in chunks),
                    Change(subject_of(layer.id), activation),
                ],
            )
        except Conflict:
            if not left:
                raise
        else:
            return f"{layer.name}: {len(activation.features)} places of {layer.generation} suggest a force."
    raise AssertionError("unreachable")
