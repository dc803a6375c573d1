import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.places import postcodes
from libs.places.postcodes import districts, lookup, normalise, preload, read_letter


@pytest.mark.parametrize("written", ["SG8 9LG", "sg8 9lg", "SG89LG", " s g 8 9 l g ", "SG8\t9LG", "Sg8  9lG"])
def test_a_postcode_may_be_written_anyhow(written: str) -> None:
    place = lookup(written)
    assert place is not None
    assert place.district == "E07000099"
    assert place.force == "hertfordshire"
    assert (place.easting, place.northing) == pytest.approx((535_600, 240_700), abs=1_500)


def test_short_and_long_postcodes_are_found() -> None:
    for postcode, force in [
        ("E1 4NS", "metropolitan"),
        ("W1A 1AA", "metropolitan"),
        ("EC2V 7HH", "city-of-london"),
        ("PE9 2AA", "lincolnshire"),
    ]:
        place = lookup(postcode)
        assert place is not None, postcode
        assert place.force == force


def test_scotland_has_places_and_none_of_our_forces() -> None:
    place = lookup("EH1 1BQ")
    assert place is not None
    assert place.force is None


@pytest.mark.parametrize(
    "written",
    [
        "",
        "SG8",
        "9LG SG8",
        "SG8 9L",
        "QQ1 1AA",
        "SG8 9LG extra",
        "ＳＧ８ ９ＬＧ",
        "SG8-9LG",
        "S\0G89LG",
        "A" * 1_000_000,
    ],
)
def test_what_is_no_postcode_is_unknown(written: str) -> None:
    assert lookup(written) is None


def test_one_not_in_the_directory_is_unknown() -> None:
    assert normalise("SG8 0ZZ") == "SG80ZZ"
    assert lookup("SG8 0ZZ") is None


@settings(deadline=None)  # the first of a letter reads its file
@given(st.text(max_size=40))
def test_any_text_is_answered(written: str) -> None:
    assert lookup(written) is None or normalise(written) is not None


def test_every_district_of_england_and_wales_has_its_force() -> None:
    table = districts()
    assert len(set(table.values())) == 43
    preload()
    named = {name for letter in postcodes.LETTERS if (known := read_letter(letter)) for name in known.districts}
    assert {name for name in named if name[:1] in ("E", "W")} == set(table)


def test_every_place_is_kept_to_the_metre() -> None:
    known = read_letter("P")
    assert known is not None
    assert float(np.nanmax(known.northings)) < 2**24  # whole metres are exact in single precision


def test_a_letter_is_read_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    monkeypatch.setattr(postcodes, "_loaded", {})
    real = postcodes._read
    monkeypatch.setattr(postcodes, "_read", lambda letter: reads.append(letter) or real(letter))
    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(lookup, ["ZE1 0AA"] * 64))
    assert reads == ["Z"]
    assert len(set(places)) == 1


def test_pandas_is_not_needed() -> None:
    assert lookup("SG8 9LG") is not None
    assert "pandas" not in sys.modules
