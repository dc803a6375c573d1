from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from libs.events.types.routing import Candidate, ContactRouted
from services.intake.answers import ContactTaken, contact_taken, routing_of
from services.intake.decisions import Decision
from services.intake.desk import Receipt

DECIDED = Decision(
    version=1,
    decided_at=datetime(2026, 3, 1, 12, 0, 1, 5, tzinfo=UTC),
    routed=ContactRouted(
        owning_force="bedfordshire",
        cause="location",
        queue="bedfordshire-999",
        recipient_uri="sip:q@example.org",
        priority=1,
        candidates=(Candidate(force="bedfordshire", share=1.0),),
        contact_version=1,
        waiting_since=datetime(2026, 3, 1, tzinfo=UTC),
    ),
)


@pytest.mark.parametrize("decision", [None, DECIDED])
@pytest.mark.parametrize("microsecond", [0, 7, 250_000])
def test_a_receipt_is_written_as_its_model_writes_it(decision: Decision | None, microsecond: int) -> None:
    receipt = Receipt(
        "01a21e64-c74c-72ba-a19a-d8df99ec486c", "7KD4-WX2M", datetime(2026, 3, 1, 12, 0, 0, microsecond, UTC)
    )
    model = ContactTaken(
        id=receipt.contact,
        reference=receipt.reference,
        received_at=receipt.received_at,
        routing=routing_of(decision),
    )
    written = contact_taken(receipt, decision)
    assert json.loads(written) == json.loads(model.json_bytes())
    assert ContactTaken.model_validate_json(written) == model
