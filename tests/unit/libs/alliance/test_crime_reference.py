"""How a force writes its crime references: libs/alliance/crime_reference.py."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.alliance.crime_reference import Pattern, Written

LITERAL = st.text("ABZ019/.-* ", max_size=4)
SEQUENCE = st.sampled_from(["{sequence}", "{sequence:1}", "{sequence:6}", "{sequence:9}"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    places = draw(st.permutations([draw(SEQUENCE), draw(st.sampled_from(["{yy}", "{year}"]))]))
    return draw(LITERAL) + places[0] + draw(LITERAL) + places[1] + draw(LITERAL)


@given(patterns(), st.integers(2000, 2080), st.integers(0, 20), st.integers(0, 10**10))
def test_what_was_written_is_read_back(text: str, year: int, later: int, sequence: int) -> None:
    pattern = Pattern(text)
    assert pattern.read(pattern.write(year, sequence), year + later) == Written(year, sequence)


@given(
    patterns(),
    st.tuples(st.integers(2000, 2099), st.integers(0, 3000)),
    st.tuples(st.integers(2000, 2099), st.integers(0, 3000)),
)
def test_no_two_crimes_have_the_same_reference(text: str, one: tuple[int, int], other: tuple[int, int]) -> None:
    assume(one != other)
    assert Pattern(text).write(*one) != Pattern(text).write(*other)


@given(patterns(), st.text("AB0123456789/-", max_size=20))
def test_what_the_pattern_would_not_write_is_not_read(text: str, reference: str) -> None:
    pattern = Pattern(text)
    read = pattern.read(reference, 2026)
    assert read is None or pattern.write(read.year or 0, read.sequence) == reference


def test_examples() -> None:
    assert Pattern("40/{sequence:6}/{yy}").write(2026, 1234) == "40/001234/26"
    assert Pattern("{yy}{sequence:9}").write(2026, 1234567) == "26001234567"
    assert Pattern("N-{sequence}", yearly=False).read("N-17", 2026) == Written(None, 17)
    assert Pattern("{sequence:2}/{yy}").read("007/26", 2026) is None
    assert Pattern("{sequence}/{yy}").read("7/99", 2026) == Written(1999, 7)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "1 to 40"),
        ("{yy}" * 20, "1 to 40"),
        ("{yy}", "must have {sequence} once"),
        ("{sequence}{sequence}{yy}", "must have {sequence} once"),
        ("{sequence}", "begins again with each year"),
        ("{yy}/{year}/{sequence}", "the year twice"),
        ("{force}/{sequence}/{yy}", "there are the places"),
        ("{sequence:0}/{yy}", "1 to 12 digits"),
        ("{sequence:99}/{yy}", "1 to 12 digits"),
        ("ab/{sequence}/{yy}", "capitals"),
        ("{sequence/{yy}", "capitals"),
        ("{sequence}/{yy}\n", "capitals"),
    ],
)
def test_what_is_no_pattern_is_refused_with_what_would_be_right(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Pattern(text)
