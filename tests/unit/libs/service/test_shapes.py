"""Places in requests' bodies: libs/service/shapes.py."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.events.types import shapes
from libs.places import Atlas
from libs.places.national_grid import read_reference
from libs.places.outline import MAX_RADIUS_M
from libs.service import shapes as places
from libs.service.shapes import ShapeBody, postcode_of

HERE = {"lat": 52.0482, "lon": -0.0243}
ADAPTER: TypeAdapter[Any] = TypeAdapter(ShapeBody)
ATLAS = Atlas.build("test", 25.0, {"hertfordshire": shapely.box(500_000, 200_000, 560_000, 240_000)})


def shape_of(**shape: Any) -> shapes.Shape:
    """As both ways to read a body read it."""
    strict: shapes.Shape = ADAPTER.validate_json(json.dumps(shape), strict=True).shape()
    assert ADAPTER.validate_python(shape).shape() == strict
    return strict


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
        (
            {"kind": "grid-reference", "reference": "tl 35 40"},
            read_reference("TL3540").polygon,
        ),
        ({"kind": "postcode", "postcode": " sg86na "}, shapes.Postcode(postcode="SG8 6NA")),
        (
            {"kind": "civic", "house": "3", "street": "Kneesworth Street", "town": "Royston", "postcode": "SG8 5AB"},
            shapes.Civic(house="3", street="Kneesworth Street", town="Royston", postcode="SG8 5AB"),
        ),
        ({"kind": "civic", "town": "Royston", "postcode": "SG8"}, shapes.Civic(town="Royston", postcode="SG8")),
        ({"kind": "civic", "town": "Royston\n"}, shapes.Civic(town="Royston\N{REPLACEMENT CHARACTER}")),
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
        {"kind": "postcode", "postcode": "SG8\x006NA"},
        {"kind": "postcode", "postcode": "S" * 17},
        {"kind": "civic"},
        {"kind": "civic", "street": "x" * 201},
    ],
)
def test_what_is_no_place_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_json(json.dumps(body), strict=True)
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(body)


degrees = st.floats(-180, 180)
metres = st.floats(0, MAX_RADIUS_M) | st.floats()
angles = st.floats(0, 360)
corners = st.lists(st.tuples(degrees, degrees) | st.tuples(st.floats(51.9, 52.1), st.floats(-0.1, 0.1)), max_size=8)
text = st.text(max_size=20)
anything = st.one_of(
    st.fixed_dictionaries({"kind": st.just("point"), "lat": degrees, "lon": degrees}),
    st.fixed_dictionaries({"kind": st.just("circle"), "lat": degrees, "lon": degrees, "radiusM": metres}),
    st.fixed_dictionaries(
        {
            "kind": st.just("ellipse"),
            "lat": degrees,
            "lon": degrees,
            "semiMajorM": metres,
            "semiMinorM": metres,
            "orientationDeg": angles,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("arc-band"),
            "lat": degrees,
            "lon": degrees,
            "innerRadiusM": metres,
            "outerRadiusM": metres,
            "startAngleDeg": angles,
            "openingAngleDeg": angles,
        }
    ),
    st.fixed_dictionaries({"kind": st.just("polygon"), "exterior": corners}),
    st.fixed_dictionaries({"kind": st.just("postcode"), "postcode": text}),
    st.fixed_dictionaries({"kind": st.just("civic")}, optional={"street": text, "town": text, "postcode": text}),
)


@given(anything)
def test_whatever_is_taken_can_be_looked_for_on_the_map(place: dict[str, object]) -> None:
    try:
        shape = ADAPTER.validate_python(place).shape()
    except ValidationError:
        return
    ATLAS.locate(shape)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "circle", **HERE, "radiusM": 150_000},
        {"kind": "polygon", "exterior": [[52, 0], [52.1, 0.1], [52, 0.1], [52.1, 0]]},
        {"kind": "polygon", "exterior": [[52, 0], [52.1, 0], [52.2, 0]]},
        {"kind": "polygon", "exterior": [[0, 0], [50, 0], [50, 50]]},
    ],
    ids=["larger than a county", "crosses itself", "without area", "larger than a country"],
)
def test_what_has_the_form_of_a_place_and_is_none_is_refused_without_repeating_it(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refusal:
        ADAPTER.validate_json(json.dumps(body), strict=True)
    [fault] = refusal.value.errors(include_input=False, include_url=False)
    assert not {"52.1", "150000", "50.0"} & set(fault["msg"].replace(",", " ").split())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_json('{"kind":"point","lat":LAT,"lon":0}'.replace("LAT", number))
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({"kind": "point", "lat": float(number), "lon": 0})


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.floats(0, MAX_RADIUS_M),
)
def test_every_circle_within_the_limits_is_a_circle_or_a_point_with_an_area_nobody_must_divide_by(
    lat: float, lon: float, radius_m: float
) -> None:
    shape = shape_of(kind="circle", lat=lat, lon=lon, radiusM=radius_m)
    if radius_m < places.MIN_RADIUS_M:
        assert shape == shapes.Point(lat=lat, lon=lon)
    else:
        assert shape == shapes.Circle(lat=lat, lon=lon, radius_m=radius_m)
        assert math.pi * radius_m**2 > 0


@pytest.mark.parametrize(
    ("text", "postcode"), [("sg86na", "SG8 6NA"), ("EC1A  1BB", "EC1A 1BB"), ("M1 1AE", "M1 1AE"), ("SG8 6N", None)]
)
def test_a_postcode_has_one_form(text: str, postcode: str | None) -> None:
    assert postcode_of(text) == postcode
