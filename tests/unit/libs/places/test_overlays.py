"""Places that suggest a force: libs/places/overlays.py."""

from __future__ import annotations

from contextlib import suppress

import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from libs.places import DamagedArea
from libs.places.overlays import Overlay, decode_features, encode_features

PLACES = [
    shapely.points(1_000, 1_000),
    shapely.linestrings([(2_000, 0), (2_000, 500)]),
    shapely.box(5_000, 0, 6_000, 500),
]


def test_points_lines_and_areas_come_back_as_they_were() -> None:
    assert decode_features(encode_features(PLACES)) == PLACES


@given(st.integers(0, 200), st.binary(max_size=20))
@example(at=59, content=b"\x08")
def test_chunks_that_were_altered_are_refused_or_say_the_same(at: int, content: bytes) -> None:
    """The same: what fills up the last byte of a deflate stream means nothing."""
    whole = b"".join(encode_features(PLACES))
    with suppress(DamagedArea):
        assert decode_features([whole[:at] + content + whole[at + 1 :]]) == PLACES


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ((1_000, 1_060), (0, 60)),
        ((1_000, 1_101), None),
        ((2_050, 250), (1, 50)),
        ((5_500, 100), (2, 0)),
        ((6_100, 100), (2, 100)),
        ((9_000, 9_000), None),
    ],
)
def test_the_nearest_is_suggested_where_it_is_near_enough(
    place: tuple[float, float], near: tuple[int, float] | None
) -> None:
    found = Overlay(PLACES, 100.0).near(*place)
    assert (found if found is None else (found.feature, pytest.approx(found.metres))) == near


def test_none_is_near_where_there_are_none() -> None:
    assert Overlay([], 100.0).near(0, 0) is None
