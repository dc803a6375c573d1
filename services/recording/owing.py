"""How many contacts owe a disposition, as a metric: what operators alarm on."""

from __future__ import annotations

import asyncio

from prometheus_client import Gauge

from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from services.recording import contact_table

OWING = Gauge(
    "hueandcry_recording_contacts_without_disposition",
    "Contacts that owe a disposition, by owning force (`alliance`: nobody's yet) and whether they ended. Every copy "
    "of the service shows all of them",
    ["force", "ended"],
)
EVERY_S = 5.0


async def measure(database: Database) -> None:
    """Count until cancelled. While the database is away, the last count stands."""
    shown: set[tuple[str, str]] = set()
    while True:
        try:
            counts = await contact_table.count_all_owing(database)
        except Unavailable:
            counts = None
        if counts is not None:
            now = {(count.force or "alliance", "no"): count.open for count in counts}
            now |= {(count.force or "alliance", "yes"): count.ended for count in counts}
            for labels in shown | now.keys():
                OWING.labels(*labels).set(now.get(labels, 0))
            shown |= now.keys()
        await asyncio.sleep(EVERY_S)
