"""Small generations of square forces, for tests."""

import shapely

from libs.events.types.directory import AreaChunkPublished, AreaRef, BoundariesActivated
from libs.places import encode_area, sha256_of

KM = 1000.0


def square(column: float) -> shapely.Geometry:
    """A square of 10 km, its south-west corner `column` times 10 km east of (500000, 250000)."""
    west = 500_000.0 + column * 10 * KM
    return shapely.box(west, 250_000.0, west + 10 * KM, 260_000.0)


def generation(
    name: str, areas: dict[str, shapely.Geometry]
) -> tuple[BoundariesActivated, dict[str, AreaChunkPublished]]:
    """The activation, and its chunks by force (each area fits into one)."""
    chunks = {}
    for force, area in areas.items():
        [content] = encode_area(area)
        chunks[force] = AreaChunkPublished(sha256=sha256_of(content), content=content)
    refs = tuple(AreaRef(force=force, hashes=(chunk.sha256,)) for force, chunk in chunks.items())
    return BoundariesActivated(generation=name, source="test", accuracy_m=20.0, areas=refs), chunks
