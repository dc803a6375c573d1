"""What the benchmarks write and send: calls with a place each, none like the other."""

from __future__ import annotations

import random
from typing import Any

from uuid_utils.compat import uuid7

from libs.events.cipher import new_key
from libs.events.envelope import Event
from libs.events.log.keyring import new_master
from libs.events.types.contacts import ContactReceived, Location, ReceivedPersonal
from libs.events.types.shapes import Circle

FORCE = "bedfordshire"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def call(number: int) -> dict[str, Any]:
    """The body of POST /v1/contacts/telephone: a mobile call on 999 with the handset's own position."""
    chance = random.Random(number)
    return {
        "line": "999",
        "presentedForce": FORCE,
        "trunk": "BT-999-7",
        "dialledNumber": "999",
        "callId": f"bench-{number:08}",
        "presentedAt": "2026-03-01T12:00:00.250+00:00",
        "callingNumber": f"+447700900{chance.randrange(1000):03}",
        "locations": [
            {
                "of": "caller",
                "source": "aml",
                "certaintyPercent": 68.0,
                "takenAt": "2026-03-01T12:00:01+00:00",
                "shape": {
                    "kind": "circle",
                    "lat": round(chance.uniform(51.9, 52.3), 6),
                    "lon": round(chance.uniform(-0.6, 0.1), 6),
                    "radiusM": 14.0,
                },
            }
        ],
    }


def received(gateway: str = "bench") -> ContactReceived:
    """The fact that such a call becomes."""
    location = str(uuid7())
    return ContactReceived(
        reference="7KD4-WX2M",
        channel="telephone",
        medium="voice",
        line="999",
        presented_force=FORCE,
        trunk="BT-999-7",
        dialled_number="999",
        call_id="bench-00000000",
        gateway=gateway,
        emergency=True,
        locations=(Location(id=location, of="caller", source="aml", certainty_percent=68.0),),
        personal=ReceivedPersonal(
            calling_number="+447700900123", shapes={location: Circle(lat=52.0482, lon=-0.0243, radius_m=14.0)}
        ),
    )


FACT = received()
KEY = new_key()
MASTERS = new_master().line()
"""Of the services that are measured."""


def event(subject: str, *, version: int = 1, key: bytes = KEY) -> Event:
    """An event of a contact's stream, sealed; only its fact, and its key unless one is given, are not made anew."""
    return Event.of(
        FACT, source="/intake", subject=subject, version=version, force=FORCE, traceparent=TRACEPARENT, key=key
    )


def data() -> str:
    """The fact as it is stored."""
    return event(str(uuid7())).data.decode()
