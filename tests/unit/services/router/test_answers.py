"""What the router answers: services/router/answers.py."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import events_of
from libs.events.types.routing import OwnerConfirmed
from services.router.answers import ContactRouting, Cursor
from services.router.contact import NEVER_SEEN, fold
from services.router.queue import confirm, place
from tests.unit.services.router.given import ALLIANCE, NOON, heard, placed, received


def row(**values: Any) -> Any:
    return {"priority": 3, "waiting_since": NOON, "contact": "0199-x"} | values


def test_a_cursor_is_the_place_it_was_made_of() -> None:
    assert Cursor.place(Cursor.of(row())) == (3, NOON, "0199-x")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b'[1,"2026-03-01T12:00:00","x"]',
        b'[1,"0001-01-01T00:00:00+14:00","x"]',
        b'[1,"9999-12-31T23:00:00-14:00","x"]',
        b'[4294967296,"2026-03-01T12:00:00Z","x"]',
        b'[1,"2026-03-01T12:00:00Z","\\u0000"]',
        b'[1,"2026-03-01T12:00:00Z","\\ud800"]',
        b"\xff\xfe",
    ],
)
def test_a_cursor_that_was_made_up_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a place"):
        Cursor.place(base64.urlsafe_b64encode(content).decode())


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    try:
        found = Cursor.place(text)
    except ValueError:
        return
    assert found.waiting_since.tzinfo is not None


def test_every_decision_is_told_in_order_with_what_caused_it() -> None:
    known = heard(received(presented="bedfordshire"))
    first = place(NEVER_SEEN, known, ALLIANCE)
    located = heard(received(presented="bedfordshire"), caller=placed("l2", hertfordshire=1.0))
    second = place(fold(first), located, ALLIANCE)
    third = confirm(fold([*first, *second]), located, ALLIANCE, owning_force="cambridgeshire", handler="ann")
    events = events_of([*first, *second, *third], source="/router", subject="c1", after=0, time=NOON)
    shown = ContactRouting.told_by("c1", events)
    assert isinstance(third[0], OwnerConfirmed)
    assert [(d.version, d.cause, d.owning_force) for d in shown.decisions] == [
        (1, "presented", "bedfordshire"),
        (2, "location", "hertfordshire"),
        (4, "confirmed", "cambridgeshire"),
    ]
    assert (shown.status, shown.confirmed, shown.queue, shown.version) == ("waiting", True, "cambridgeshire-999", 4)
    assert shown.model_dump(mode="json")["decisions"][1]["locationId"] == "l2"
