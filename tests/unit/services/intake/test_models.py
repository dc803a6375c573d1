from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.events.types import shapes
from services.intake import models
from services.intake.models import E164, LocationBody, Name, Slug, Time, Words, postcode_of

HERE = {"lat": 52.0482, "lon": -0.0243}


def shape_of(**shape: Any) -> shapes.Shape:
    text = json.dumps({"of": "caller", "source": "aml", "shape": shape})
    return LocationBody.model_validate_json(text).located()[1]


def read(kind: Any, text: object) -> Any:
    return TypeAdapter(kind).validate_json(json.dumps(text), strict=True)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ({"kind": "point", **HERE}, shapes.Point(**HERE)),
        ({"kind": "circle", **HERE, "radiusM": 30}, shapes.Circle(**HERE, radius_m=30)),
        ({"kind": "circle", **HERE, "radiusM": 0}, shapes.Point(**HERE)),
        (
            {"kind": "ellipse", **HERE, "semiMajorM": 900, "semiMinorM": 400.5, "orientationDeg": 30},
            shapes.Ellipse(**HERE, semi_major_m=900, semi_minor_m=400.5, orientation_deg=30),
        ),
        (
            {
                "kind": "arc-band",
                **HERE,
                "innerRadiusM": 550,
                "outerRadiusM": 1100,
                "startAngleDeg": 350,
                "openingAngleDeg": 120,
            },
            shapes.ArcBand(**HERE, inner_radius_m=550, outer_radius_m=1100, start_angle_deg=350, opening_angle_deg=120),
        ),
        (
            {"kind": "polygon", "exterior": [[52, 0], [52.1, 0], [52.1, 0.1]]},
            shapes.Polygon(exterior=((52, 0), (52.1, 0), (52.1, 0.1))),
        ),
        ({"kind": "postcode", "postcode": " sg86na "}, shapes.Postcode(postcode="SG8 6NA")),
        (
            {"kind": "civic", "house": "3", "street": "Kneesworth Street", "town": "Royston", "postcode": "SG8 5AB"},
            shapes.Civic(house="3", street="Kneesworth Street", town="Royston", postcode="SG8 5AB"),
        ),
        ({"kind": "civic", "town": "Royston", "postcode": "SG8"}, shapes.Civic(town="Royston", postcode="SG8")),
    ],
)
def test_every_shape_is_taken(body: dict[str, Any], shape: shapes.Shape) -> None:
    assert shape_of(**body) == shape


ELLIPSE = {"kind": "ellipse", **HERE, "semiMajorM": 900, "semiMinorM": 400, "orientationDeg": 30}
BAND = {"kind": "arc-band", **HERE, "innerRadiusM": 1, "outerRadiusM": 2, "startAngleDeg": 0, "openingAngleDeg": 9}


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "point", "lat": 90.001, "lon": 0},
        {"kind": "point", "lat": 0, "lon": -180.001},
        {"kind": "point", "lat": "52", "lon": 0},
        {"kind": "point", "lat": True, "lon": 0},
        {"kind": "point", "lat": 52},
        {"kind": "point", **HERE, "altitude": 3},
        {"kind": "sphere", **HERE},
        {**HERE},
        {"kind": "circle", **HERE, "radiusM": 200_001},
        {"kind": "circle", **HERE, "radiusM": -1},
        {"kind": "circle", **HERE, "radius_m": 30},
        {**ELLIPSE, "semiMinorM": 901},
        {**ELLIPSE, "semiMinorM": 0},
        {**ELLIPSE, "orientationDeg": 361},
        {**BAND, "innerRadiusM": 2},
        {**BAND, "openingAngleDeg": 0},
        {**BAND, "openingAngleDeg": 361},
        {**BAND, "outerRadiusM": 200_001},
        {"kind": "polygon", "exterior": [[52, 0], [52.1, 0]]},
        {"kind": "polygon", "exterior": [[52, 0], [52.1, 0], [52, 0], [52.1, 0]]},
        {"kind": "polygon", "exterior": [[52, 0], [52.1, 0], [52.1, 0.1, 7]]},
        {"kind": "polygon", "exterior": [[52 + i / 9999, 0] for i in range(1001)]},
        {"kind": "postcode", "postcode": "SG8"},
        {"kind": "civic"},
        {"kind": "civic", "street": "x" * 201},
    ],
)
def test_what_is_no_place_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        shape_of(**body)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    text = '{"of":"caller","source":"aml","shape":{"kind":"point","lat":LAT,"lon":0}}'.replace("LAT", number)
    with pytest.raises(ValidationError):
        LocationBody.model_validate_json(text)


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.floats(0, models.MAX_RADIUS_M),
)
def test_every_circle_within_the_limits_is_a_circle_or_a_point_with_an_area_nobody_must_divide_by(
    lat: float, lon: float, radius_m: float
) -> None:
    shape = shape_of(kind="circle", lat=lat, lon=lon, radiusM=radius_m)
    if radius_m < models.MIN_RADIUS_M:
        assert shape == shapes.Point(lat=lat, lon=lon)
    else:
        assert shape == shapes.Circle(lat=lat, lon=lon, radius_m=radius_m)
        assert math.pi * radius_m**2 > 0


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


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_words_are_taken_as_they_are_but_for_control_characters(text: str) -> None:
    words, name = read(Words, text), read(Name, text)
    assert len(words) == len(name) == len(text)
    assert not any(character in "\x00\x07\x1b\x7f" for character in words)
    assert "\n" not in name
    assert all(kept in (given, "\N{REPLACEMENT CHARACTER}") for kept, given in zip(words, text, strict=True))


@pytest.mark.parametrize("text", ["Bedfordshire", "bedford shire", "-a", "a-", "a--b", "", "a" * 65, "a\n"])
def test_what_is_no_force_id_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Slug, text)


@pytest.mark.parametrize(
    ("text", "postcode"), [("sg86na", "SG8 6NA"), ("EC1A  1BB", "EC1A 1BB"), ("M1 1AE", "M1 1AE"), ("SG8 6N", None)]
)
def test_a_postcode_has_one_form(text: str, postcode: str | None) -> None:
    assert postcode_of(text) == postcode
