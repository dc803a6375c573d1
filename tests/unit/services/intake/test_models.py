from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.intake import models
from services.intake.models import E164, LocationBody, Time

HERE = {"lat": 52.0482, "lon": -0.0243}


def read(kind: Any, text: object) -> Any:
    return TypeAdapter(kind).validate_json(json.dumps(text), strict=True)


def test_a_location_says_what_it_is_of_and_who_says_so() -> None:
    for missing in ("of", "source", "shape"):
        body = {"of": "caller", "source": "aml", "shape": {"kind": "point", **HERE}}
        del body[missing]
        with pytest.raises(ValidationError):
            LocationBody.model_validate_json(json.dumps(body))


def test_each_location_gets_an_id_of_its_own_and_its_place_stands_apart() -> None:
    body = LocationBody.model_validate_json(
        json.dumps(
            {
                "of": "incident",
                "source": "caller",
                "certaintyPercent": 67.5,
                "takenAt": "2026-03-01T11:00:00+01:00",
                "shape": {"kind": "point", **HERE},
            }
        )
    )
    locations, places = models.located([body, body])
    assert len({location.id for location in locations}) == 2
    assert set(places) == {location.id for location in locations}
    assert locations[0].taken_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert locations[0].certainty_percent == 67.5
    assert "lat" not in locations[0].__struct_fields__


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+447700900123", "+447700900123"),
        ("07700 900123", "+447700900123"),
        ("(01438) 555123", "+441438555123"),
        ("0044 1438 555123", "+441438555123"),
        ("+1 202-555-0123", "+12025550123"),
        ("0800 1111", "+448001111"),
    ],
)
def test_a_number_is_kept_as_e164(text: str, number: str) -> None:
    assert read(E164, text) == number


@pytest.mark.parametrize(
    "text", ["", "999", "+44", "+441234", "anonymous", "+999123456789", "0" * 33, "+4477009001234567"]
)
def test_what_cannot_be_a_number_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(E164, text)
    assert not text or text not in refusal.value.errors(include_input=False, include_url=False)[0]["msg"]


@given(st.from_regex(r"\+44[1-9][0-9]{9}", fullmatch=True))
def test_the_short_way_to_a_british_number_agrees_with_phonenumbers(text: str) -> None:
    number = phonenumbers.parse(text, "GB")
    possible = phonenumbers.is_possible_number_with_reason(number)
    assert possible == phonenumbers.ValidationResult.IS_POSSIBLE
    assert read(E164, text) == phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == text


@given(st.text(max_size=32))
def test_no_text_breaks_the_reading_of_a_number(text: str) -> None:
    try:
        number = read(E164, text)
    except ValidationError:
        return
    assert number.startswith("+")
    assert number[1:].isascii()
    assert number[1:].isdigit()
    assert len(number) <= 16 + 2


@pytest.mark.parametrize(
    "text", ["2026-03-01T10:00:00", "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "soon", 1772359200]
)
def test_a_time_without_offset_or_out_of_its_century_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        read(Time, text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_at_the_edge_of_the_calendar_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Time, text)


def test_a_time_is_kept_in_utc() -> None:
    assert read(Time, "2026-07-01T12:00:00.123456+01:00") == datetime(2026, 7, 1, 11, 0, 0, 123456, tzinfo=UTC)
