"""Places that are nowhere on earth, or no places at all: refused wherever a place is taken."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.integration.bad_input.service import BODIES, LOCATION, PLACE, SECRET, Services


@pytest.mark.parametrize(
    "shape",
    [
        PLACE | {"lat": 91},
        PLACE | {"lat": -90.000001},
        PLACE | {"lon": 181},
        PLACE | {"lon": 1e308},
        PLACE | {"lat": "52.1"},
        PLACE | {"lat": None},
        PLACE | {"lat": True},
        PLACE | {"lat": [52.1]},
        PLACE | {"kind": SECRET},
        PLACE | {"kind": None},
        {"lat": 52.1, "lon": -0.4},
        {"kind": "point"},
        PLACE | {"kind": "circle", "radiusM": -1},
        PLACE | {"kind": "circle", "radiusM": 1e12},
        PLACE | {"kind": "circle"},
        {"kind": "polygon", "exterior": [[52.1, -0.4], [52.2, -0.4]]},
        {"kind": "polygon", "exterior": [[52.1, -0.4]] * 3},
        {"kind": "polygon", "exterior": [[52.1, -0.4, 7.0]] * 4},
        {"kind": "polygon", "exterior": [[52 + i / 2000, -0.4] for i in range(1001)]},
        {"kind": "polygon", "exterior": "everywhere"},
        {"kind": "postcode", "postcode": SECRET},
        {"kind": "postcode", "postcode": ""},
        {"kind": "civic", "street": "x" * 201},
        None,
        [],
        SECRET,
    ],
    ids=lambda shape: json.dumps(shape)[:60],
)
async def test_absurd_places_are_refused(shape: object, refused: Services, client: httpx.AsyncClient) -> None:
    for operation in refused.posts(with_body=True):
        body = with_shape(BODIES[operation.id], shape)
        if body is not None and not (operation.id == "dispose_contact" and shape is None):  # there it may be left out
            answer = await client.post(refused.url(operation), json=body)
            refused.refusal(answer, 422, what=operation)


async def test_a_polygon_of_100_000_corners_is_too_large(refused: Services, client: httpx.AsyncClient) -> None:
    shape = {"kind": "polygon", "exterior": [[52 + i / 200_000, -0.4] for i in range(100_000)]}
    for operation in refused.posts(with_body=True):
        body = with_shape(BODIES[operation.id], shape)
        if body is not None:
            refused.refusal(await client.post(refused.url(operation), json=body), 413, what=operation)


@pytest.mark.parametrize(
    "asked",
    [
        {"lat": "91", "lon": "0"},
        {"lat": "52", "lon": "1e308"},
        {"lat": "nan", "lon": "0"},
        {"lat": "52", "lon": "-inf"},
        {"lat": "52", "lon": "0", "radius_m": "-1"},
        {"lat": "52", "lon": "0", "radius_m": "1e12"},
        {"lat": "52"},
        {},
        {"lat": SECRET, "lon": "0"},
        {"postcode": SECRET},
        {"postcode": ""},
        {"postcode": "CB1 1AA", "lat": "52"},
        {"lat": "52", "lon": "0", "radius": "5"},
        {"lat": "9" * 400, "lon": "0"},
    ],
    ids=str,
)
async def test_absurd_places_cannot_be_located(
    asked: dict[str, str], refused: Services, client: httpx.AsyncClient
) -> None:
    answer = await client.get(refused.system.url("directory") + "/v1/locate", params=asked)
    refused.refusal(answer, 422)


def with_shape(body: dict[str, Any], shape: object) -> dict[str, Any] | None:
    """The body with this shape in the place of its own; None where it has no place."""
    if "shape" in body:
        return body | {"shape": shape}
    if "locations" in body:
        return body | {"locations": [LOCATION | {"shape": shape}]}
    if "incident" in body:
        return body | {"incident": body["incident"] | {"location": shape}}
    return None
