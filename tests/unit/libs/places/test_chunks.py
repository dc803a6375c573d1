import tracemalloc
import zlib

import numpy as np
import pytest
import shapely

from libs.places.chunks import CHUNK_BYTES, MAX_AREA_BYTES, DamagedArea, decode_area, encode_area, sha256_of

SQUARE = shapely.box(500_000, 200_000, 510_000, 210_000)


def large() -> shapely.Geometry:
    random = np.random.default_rng(7)
    turn = np.linspace(0.0, 2.0 * np.pi, 60_000, endpoint=False)
    radius = random.uniform(9_000.0, 10_000.0, 60_000)
    return shapely.polygons(np.column_stack([450_000 + radius * np.cos(turn), 250_000 + radius * np.sin(turn)]))


def test_an_area_comes_back_as_it_was() -> None:
    for area in (SQUARE, large(), shapely.multipolygons([SQUARE, shapely.box(0, 0, 1, 1)])):
        chunks = encode_area(area)
        assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)
        decoded = decode_area(chunks)
        assert shapely.get_type_id(decoded) == 6
        assert shapely.equals_exact(decoded, area if shapely.get_type_id(area) == 6 else shapely.multipolygons([area]))


def test_a_large_area_is_cut_and_the_same_area_makes_the_same_chunks() -> None:
    chunks = encode_area(large())
    assert len(chunks) > 1
    assert [sha256_of(chunk) for chunk in chunks] == [sha256_of(chunk) for chunk in encode_area(large())]
    assert len({sha256_of(chunk) for chunk in chunks}) == len(chunks)


def test_what_is_no_area_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="polygon"):
        encode_area(shapely.Point(0, 0))


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (b"",),
        (b"not deflated",),
        (zlib.compress(b"no geometry"),),
        (zlib.compress(shapely.to_wkb(shapely.Point(0, 0))),),
        (encode_area(SQUARE)[0][:-1],),
        (*encode_area(SQUARE), b"more"),
        encode_area(large())[:-1],
        tuple(reversed(encode_area(large()))),
    ],
)
def test_damaged_chunks_are_refused(chunks: tuple[bytes, ...]) -> None:
    with pytest.raises(DamagedArea):
        decode_area(chunks)


def test_a_small_chunk_that_inflates_without_end_is_refused_in_bounded_memory() -> None:
    squeezer = zlib.compressobj(9)
    zeros = bytes(1024 * 1024)
    bomb = b"".join(squeezer.compress(zeros) for _ in range(4 * MAX_AREA_BYTES // len(zeros))) + squeezer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(DamagedArea, match="more than"):
            decode_area((bomb,))
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_AREA_BYTES
    finally:
        tracemalloc.stop()
