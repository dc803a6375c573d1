"""What recording is asked: `services/recording/models.py`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.recording.models import DispositionBody, Place

PLACE: TypeAdapter[Any] = TypeAdapter(Place)


@pytest.mark.parametrize("kind", ["ellipse", "arc-band", "moon"])
def test_a_place_is_what_a_person_can_point_at_or_say(kind: str) -> None:
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        PLACE.validate_python({"kind": kind, "lat": 52, "lon": 0})


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
