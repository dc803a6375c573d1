"""What recording is asked: `services/recording/models.py`."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.events.types import shapes
from libs.places import Atlas, UnusableShape
from services.recording.models import DispositionBody, Place

PLACE: TypeAdapter[Any] = TypeAdapter(Place)
ATLAS = Atlas.build("test", 25.0, {"hertfordshire": shapely.box(500_000, 200_000, 560_000, 240_000)})

finite = st.floats(allow_nan=False, allow_infinity=False)
degrees = st.floats(-180, 180)
text = st.text(max_size=20)
anything = st.one_of(
    st.fixed_dictionaries({"kind": st.just("point"), "lat": degrees, "lon": degrees}),
    st.fixed_dictionaries({"kind": st.just("circle"), "lat": degrees, "lon": degrees, "radiusM": finite}),
    st.fixed_dictionaries({"kind": st.just("polygon"), "exterior": st.lists(st.tuples(degrees, degrees), max_size=8)}),
    st.fixed_dictionaries({"kind": st.just("postcode"), "postcode": text}),
    st.fixed_dictionaries({"kind": st.just("civic")}, optional={"street": text, "town": text, "postcode": text}),
)


@given(anything)
def test_a_place_that_is_taken_can_be_asked_for_and_one_that_is_none_says_so(place: dict[str, object]) -> None:
    try:
        shape = PLACE.validate_python(place).shape()
    except ValidationError:
        return
    with suppress(UnusableShape):
        ATLAS.locate(shape)


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        ({"kind": "point", "lat": 52, "lon": -0.1}, shapes.Point(lat=52, lon=-0.1)),
        ({"kind": "circle", "lat": 52, "lon": 0, "radiusM": 30}, shapes.Circle(lat=52, lon=0, radius_m=30)),
        ({"kind": "postcode", "postcode": "SG8 6NA"}, shapes.Postcode(postcode="SG8 6NA")),
        ({"kind": "civic", "town": "Royston"}, shapes.Civic(town="Royston")),
        (
            {"kind": "polygon", "exterior": [[52, 0], [52, 0.1], [52.1, 0]]},
            shapes.Polygon(exterior=((52, 0), (52, 0.1), (52.1, 0))),
        ),
    ],
)
def test_each_kind_of_place_is_its_shape(place: dict[str, object], shape: shapes.Shape) -> None:
    assert PLACE.validate_python(place).shape() == shape


@pytest.mark.parametrize(
    "place",
    [
        {"kind": "point", "lat": math.nan, "lon": 0},
        {"kind": "point", "lat": 91, "lon": 0},
        {"kind": "point", "lat": "52", "lon": 0},
        {"kind": "point", "lat": True, "lon": 0},
        {"kind": "point", "lat": 52},
        {"kind": "point", "lat": 52, "lon": 0, "alt": 3},
        {"kind": "circle", "lat": 52, "lon": 0, "radiusM": -1},
        {"kind": "circle", "lat": 52, "lon": 0, "radiusM": math.inf},
        {"kind": "polygon", "exterior": [[52, 0], [52, 0], [52, 0]]},
        {"kind": "postcode", "postcode": "SG8\x006NA"},
        {"kind": "postcode", "postcode": "S" * 17},
        {"kind": "moon"},
        {},
    ],
)
def test_what_is_no_place_is_refused(place: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PLACE.validate_python(place)


@pytest.mark.parametrize(
    "body",
    [
        {"disposition": "joined-incident"},
        {"disposition": "advice", "incidentId": "018f2f5e-7a1c-7c3d-9a10-5b1e5a7d0001"},
        {"disposition": "advice", "force": "bedfordshire"},
        {"disposition": "transferred", "transferredTo": "Essex Police"},
        {"disposition": "incident-opened", "incident": {"summary": "x" * 20_001}},
        {"disposition": "incident-opened", "incident": {"category": "theft"}},
        {"disposition": "incident-opened", "incident": {"summary": "x", "category": "two\nlines"}},
        {"disposition": "advice", "note": ""},
    ],
)
def test_a_disposition_whose_parts_do_not_fit_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DispositionBody.model_validate(body)


def test_an_incident_may_be_opened_with_nothing_to_say_yet() -> None:
    assert DispositionBody.model_validate({"disposition": "incident-opened"}).incident is None
