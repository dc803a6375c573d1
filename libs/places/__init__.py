"""Where → whose: shapes on the ground, areas, postcodes. In memory; imports neither database, Kafka nor FastAPI."""

from libs.places.atlas import Atlas, Candidate, Located
from libs.places.chunks import DamagedArea, decode_area, encode_area, sha256_of
from libs.places.outline import UnusableShape, check_shape

__all__ = [
    "Atlas",
    "Candidate",
    "DamagedArea",
    "Located",
    "UnusableShape",
    "check_shape",
    "decode_area",
    "encode_area",
    "sha256_of",
]
