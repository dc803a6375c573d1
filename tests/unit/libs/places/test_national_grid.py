"""Grid references: libs/places/national_grid.py."""

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from libs.places.national_grid import NotAReference, Square, read_reference
from libs.places.outline import outline


@pytest.mark.parametrize(
    ("text", "square"),
    [
        ("TL", Square(500_000, 200_000, 100_000)),
        ("TL34", Square(530_000, 240_000, 10_000)),
        ("TL 35 40", Square(535_000, 240_000, 1_000)),
        ("tl 356 407", Square(535_600, 240_700, 100)),
        ("TL3560040700", Square(535_600, 240_700, 1)),
        (" SV 0000 0000 ", Square(0, 0, 10)),
        ("NN 16670 71281", Square(216_670, 771_281, 1)),  # Ben Nevis
        ("HP 62 05", Square(462_000, 1_205_000, 1_000)),  # Unst, the northernmost
        ("TQ 30 80", Square(530_000, 180_000, 1_000)),  # Charing Cross
    ],
)
def test_a_reference_is_the_square_that_its_digits_leave_open(text: str, square: Square) -> None:
    assert read_reference(text) == square


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "T",
            "TL3",
            "TL 35 407",
            "TL356407123456",
            "I",
            "SI 12 34",
            "IS 12 34",
            "12 34",
            "TL 35 4O",
            "ＴＬ 35 40",
        ),
        *("AA 12 34", "ZZ", "TL-35-40", "TL 35.5 40.5", "TL" + " " * 40 + "3540", "TL ٣٥ ٤٠", "ＴＬ 35 40"),
    ],
)
def test_what_is_no_reference_of_great_britain_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(NotAReference, match="TL"):
        read_reference(text)


LETTERS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"


@given(easting=st.integers(0, 699_999), northing=st.integers(0, 1_299_999), half=st.integers(0, 5))
def test_a_place_lies_in_the_square_of_its_reference_whatever_its_length(
    easting: int, northing: int, half: int
) -> None:
    """Letters by the Ordnance Survey's own formula: false origin 1,000 km west and 500 km south of the grid's."""
    column, row = (easting + 1_000_000) // 100_000, (northing + 500_000) // 100_000
    first = LETTERS[(4 - row // 5) * 5 + column // 5]
    second = LETTERS[(4 - row % 5) * 5 + column % 5]
    digits = f"{easting % 100_000:05}"[:half] + f"{northing % 100_000:05}"[:half]
    square = read_reference(first + second + digits)
    assert square.side_m == 10 ** (5 - half)
    assert square.easting <= easting < square.easting + square.side_m
    assert square.northing <= northing < square.northing + square.side_m


def test_on_the_ground_it_is_that_square() -> None:
    drawn = outline(read_reference("TL 356 407").polygon)
    assert drawn is not None
    assert (drawn.easting, drawn.northing) == pytest.approx((535_650, 240_750), abs=0.01)
    assert shapely.area(drawn.area) == pytest.approx(10_000, rel=1e-4)
    assert shapely.bounds(drawn.area) == pytest.approx((535_600, 240_700, 535_700, 240_800), abs=0.01)
