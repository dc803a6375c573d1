"""Contacts whose queue the directory no longer knows: placed anew, for nobody takes from a queue that is gone.

Invariant: a contact leaves such a queue only for one that the directory knows, keeping its place in time, and the
decision is on its record. A copy that has seen less of the directory than the decision leaves it alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from libs.alliance import Alliance
from libs.events.log.database import Database
from libs.events.log.errors import Unavailable
from libs.events.types import Fact
from services.router import entries, handlers, queue
from services.router.contact import Contact, Heard

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
GRACE_S = 3.0
"""How long a queue must be unknown: a reload of the alliance withdraws and defines, one event after the other."""


class Withdrawn:
    """Run `run()` in each copy; they do not get in each other's way."""

    def __init__(
        self, database: Database, alliance: Callable[[], Alliance | None], *, on_commit: Callable[[], None]
    ) -> None:
        self._database = database
        self._alliance = alliance
        self._on_commit = on_commit
        self._unknown_since: dict[str, float] = {}

    async def run(self) -> None:
        """Look until cancelled; while the database or the directory is away, what waits stays where it is."""
        while True:
            try:
                await self._look()
            except (Unavailable, *handlers.AGAIN) as error:
                log.info("withdrawn_queues_wait", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        alliance = self._alliance()
        if alliance is None or alliance.default_queue is None:
            return
        now = asyncio.get_running_loop().time()
        unknown = await entries.queues_other_than(self._database, alliance.queues)
        self._unknown_since = {name: self._unknown_since.get(name, now) for name in unknown}
        for name, since in self._unknown_since.items():
            if now - since >= GRACE_S:
                for subject in await entries.first_of(self._database, name):
                    await self._place(subject, alliance)

    async def _place(self, subject: str, alliance: Alliance) -> None:
        def anew(contact: Contact, heard: Heard) -> list[Fact]:
            return queue.place_anew(contact, heard, alliance)

        try:
            contact = await handlers.change(self._database, subject, anew, self._on_commit)
        except handlers.UnknownContact:
            log.error("row_of_an_unknown_contact", contact=subject)
        else:
            log.warning("queue_withdrawn", contact=subject, queue=contact.decision and contact.decision.queue)
