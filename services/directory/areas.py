"""The areas that the product ships, as one file: `data/areas.msgpack.br`, made by `services.directory.build_areas`.

Invariant: the file carries its attribution (Open Government Licence v3.0) wherever it goes.
"""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import brotli
import msgpack
import shapely

ATTRIBUTION = (
    "Made from the ONS Postcode Directory. Source: Office for National Statistics licensed under the Open Government "
    "Licence v.3.0. Contains OS data © Crown copyright and database right. Contains Royal Mail data © Royal Mail "
    "copyright and database right."
)
FILE = "data/areas.msgpack.br"


class Areas(NamedTuple):
    """A generation of areas as shipped."""

    generation: str
    attribution: str
    """To be shown with whatever shows the areas."""
    accuracy_m: float
    """How far from a drawn border the truth may lie, metres."""
    areas: dict[str, shapely.Geometry]
    """By force id: a MultiPolygon in EPSG:27700, in whole metres."""


def load_areas() -> Areas:
    """The areas that come with the product: all 43 territorial forces of England and Wales."""
    return read_areas(resources.files(__package__).joinpath(FILE).read_bytes())


def read_areas(content: bytes) -> Areas:
    """What `pack_areas` made."""
    document = msgpack.unpackb(brotli.decompress(content))
    return Areas(
        generation=document["generation"],
        attribution=document["attribution"],
        accuracy_m=document["accuracyM"],
        areas={force: shapely.from_wkb(wkb) for force, wkb in document["areas"].items()},
    )


def pack_areas(areas: Areas) -> bytes:
    """The file's content. The same areas give the same bytes."""
    document = {
        "generation": areas.generation,
        "attribution": areas.attribution,
        "accuracyM": areas.accuracy_m,
        "areas": {
            force: shapely.to_wkb(area, byte_order=1, output_dimension=2) for force, area in sorted(areas.areas.items())
        },
    }
    packed: bytes = brotli.compress(msgpack.packb(document), quality=11)
    return packed


def areas_path() -> Path:
    """Where the file lies in a checkout."""
    return Path(__file__).parent / FILE
