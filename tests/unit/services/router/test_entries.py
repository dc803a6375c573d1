"""A place in a queue as a cursor carries it: services/router/entries.py."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.service import cursors
from libs.service.problem import Invalid
from services.router.entries import FIRST, Place
from tests.unit.services.router.given import NOON


def test_a_cursor_is_the_place_it_was_made_of() -> None:
    place = Place(3, NOON, "0199-x")
    assert cursors.read(cursors.written(place), Place, parameter="after") == place


@given(st.integers(-(2**31), 2**31 - 1), st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 3)))
def test_every_place_is_after_the_first(priority: int, waiting_since: datetime) -> None:
    assert Place(priority, waiting_since, "0199-x") > FIRST


@pytest.mark.parametrize(
    "content",
    [
        b'[4294967296,"2026-03-01T12:00:00Z","x"]',
        b'[-2147483649,"2026-03-01T12:00:00Z","x"]',
        b'[1,"2026-03-01T12:00:00","x"]',
        b'[1,"2026-03-01T12:00:00Z","\\u0000"]',
        b'[1,"2026-03-01T12:00:00Z","\\ud800"]',
        b'[1,"2026-03-01T12:00:00Z","x\\n"]',
    ],
)
def test_a_place_that_no_queue_has_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid):
        cursors.read(base64.urlsafe_b64encode(content).decode(), Place, parameter="after")
