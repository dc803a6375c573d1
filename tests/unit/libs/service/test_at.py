"""The query parameter `at`: libs/service/at.py."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from libs.london import LONDON
from libs.service.at import At, AtAnyTime, instant


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_an_instant_is_the_same_moment_in_utc(naive: datetime, minutes: int) -> None:
    said = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    read = instant(said.isoformat())
    assert read == said
    assert read.tzinfo is UTC


@given(st.dates(date(1850, 1, 1)))
def test_a_date_is_its_start_in_london(day: date) -> None:
    read = instant(day.isoformat())
    local = read.astimezone(LONDON)
    assert (local.date(), local.hour, local.minute) == (day, 0, 0)
    assert (read - timedelta(microseconds=1)).astimezone(LONDON).date() < day


def test_a_summer_s_day_begins_an_hour_earlier_in_utc() -> None:
    assert instant("2026-07-01") == datetime(2026, 6, 30, 23, tzinfo=UTC)
    assert instant("2026-01-01") == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be a date, or a time"),
        ("now", "must be a date, or a time"),
        ("1700000000", "must be a date, or a time"),
        ("2026-03-01T12:00:00", "must be a date, or a time"),
        ("2026-03-01T12:00:00 01:00", "%2B"),
        ("20260301", "must be a date, or a time"),
        ("2026-W10-1", "must be a date, or a time"),
        ("2026-02-30", "no day"),
        ("2026-03-01T24:00:01Z", "no time"),
        ("2026-03-01T12:00:00+99:00", "no time"),
        ("0001-01-01T00:00:00+14:00", "out of range"),
        ("9999-12-31T23:59:59-14:00", "out of range"),
    ],
)
def test_what_is_no_moment_is_refused_with_what_would_be_right(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        instant(text)


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()

    @app.get("/past")
    def past(at: At = None) -> datetime | None:
        return at

    @app.get("/any")
    def any_time(at: AtAnyTime = None) -> datetime | None:
        return at

    return TestClient(app)


def _ask(client: TestClient, path: str, **query: str) -> tuple[int, Any]:
    answer = client.get(path, params=query)
    return answer.status_code, answer.json()


def test_without_it_an_operation_is_asked_about_now(client: TestClient) -> None:
    assert _ask(client, "/past") == (200, None)


def test_the_past_may_be_asked_about_and_the_future_only_where_it_can_be_known(client: TestClient) -> None:
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert _ask(client, "/past", at="2026-01-01")[0] == 200
    assert _ask(client, "/past", at=soon)[0] == 422
    assert _ask(client, "/any", at=soon)[0] == 200


def test_the_document_says_that_it_is_a_date_or_a_time(client: TestClient) -> None:
    (parameter,) = client.app.openapi()["paths"]["/past"]["get"]["parameters"]  # type: ignore[attr-defined]
    formats = {kind.get("format") for kind in parameter["schema"]["anyOf"]}
    assert (parameter["required"], formats) == (False, {"date-time", "date", None})
