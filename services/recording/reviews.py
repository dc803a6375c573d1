"""Reviews of what was opened by break-glass: by a supervisor of the force whose record it was, once, and never by the
one who opened it.

Invariant: each is reviewed once, whoever asks at the same moment: the review is the first event of a stream of its own.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from prometheus_client import Gauge

from libs.events.envelope import Event
from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.errors import Conflict, Unavailable
from libs.events.log.keyring import Keyring
from libs.events.log.scope import Scope
from libs.events.log.store import Append
from libs.events.types.access import BreakGlassReviewed, Finding, ReviewPersonal
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.problem import Conflicting, Forbidden, NotFound
from services.recording import accesses

OWED = Gauge(
    "hueandcry_recording_break_glass_unreviewed",
    "Records opened by break-glass that nobody has reviewed, by owning force (`alliance`: nobody's) and whether the "
    "next day, in which they should have been, is over. Every copy of the service shows all of them",
    ["force", "overdue"],
)
EVERY_S = 5.0


class Reviewed(NamedTuple):
    access: UUID
    finding: Finding
    by: str
    at: datetime


class Reviews:
    def __init__(self, reader: Database, appender: Appender, keyring: Keyring) -> None:
        self.database = reader
        self._appender = appender
        self._keyring = keyring

    async def review(self, access_id: UUID, finding: Finding, words: str, caller: Caller) -> Reviewed:
        """Raises NotFound, Forbidden, Conflicting."""
        found = await accesses.page_of_owed(
            self.database, Scope(caller.at_home), after=accesses.FIRST, limit=1, only=access_id
        )
        if not found:
            raise NotFound
        [access] = found
        if access.reader == caller.subject:
            raise Forbidden("You opened this yourself: another supervisor reviews it.")
        subject = f"review/{access.id}" + (f"/{access.force}" if access.force else "")
        key = self._keyring.new(subject)
        event = Event.of(
            BreakGlassReviewed(
                access=str(access.id), by=caller.subject, finding=finding, personal=ReviewPersonal(words=words)
            ),
            source=self.database.source,
            subject=subject,
            version=1,
            force=access.force,
            traceparent=current_traceparent(),
            key=key.secret,
        )
        try:
            await self._appender.append(Append(subject, 0, (event,), key=key.new))
        except Conflict:
            raise Conflicting("This has been reviewed already.") from None
        return Reviewed(access.id, finding, caller.subject, event.time)


async def measure(database: Database) -> None:
    """Count until cancelled. While the database is away, the last count stands."""
    shown: set[tuple[str, str]] = set()
    while True:
        try:
            owed = await accesses.count_owed(database)
        except Unavailable:
            owed = None
        if owed is not None:
            now = {(one.force or "alliance", "no"): one.due for one in owed}
            now |= {(one.force or "alliance", "yes"): one.overdue for one in owed}
            for labels in shown | now.keys():
                OWED.labels(*labels).set(now.get(labels, 0))
            shown |= now.keys()
        await asyncio.sleep(EVERY_S)
