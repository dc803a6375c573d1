"""Where a page ended, carried by clients: libs/service/cursors.py."""

import base64
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.service import cursors
from libs.service.problem import Invalid

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Place(NamedTuple):
    priority: int
    at: cursors.Moment
    id: UUID


def cursor_of(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode()


@given(st.integers(-(2**31), 2**31), st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_what_was_written_is_read_again(priority: int, at: datetime, id_: UUID) -> None:
    place = Place(priority, at, id_)
    assert cursors.read(cursors.written(place), Place, parameter="after") == place


def test_a_cursor_fits_into_an_address_as_it_is() -> None:
    cursor = cursors.written(Place(-1, NOON, uuid4()))
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert len(cursor) <= 256


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b'[1,"2026-03-01T12:00:00","0199a1f2-0000-7000-8000-000000000000"]',
        b'[1,"0001-01-01T00:00:00+14:00","0199a1f2-0000-7000-8000-000000000000"]',
        b'[1,"9999-12-31T23:00:00-14:00","0199a1f2-0000-7000-8000-000000000000"]',
        b'[1,"2026-03-01T12:00:00Z","0199a1f2"]',
        b'["1","2026-03-01T12:00:00Z","0199a1f2-0000-7000-8000-000000000000"]',
    ],
)
def test_a_cursor_that_was_made_up_is_refused_by_the_parameters_name(content: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        cursors.read(cursor_of(content), Place, parameter="after")
    assert refusal.value.faults[0].parameter == "after"


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        found = cursors.read(text, Place, parameter="cursor")
    except Invalid:
        return
    assert found.at.tzinfo is not None
