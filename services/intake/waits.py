"""`Prefer: wait=N` (RFC 7240): an answer that is held until the contact is routed, or the wait is over.

Invariant: no decision is missed between looking and waiting. The wait is registered before the append; after it comes
one look at the read model, which answers a retry whose decision arrived long ago, perhaps at another copy; from then on
this copy's own reader of `hueandcry.routing` wakes the wait. A retry registers only when it knows whose wait it is:
what went by just before that, and is not yet in the read model, this copy remembers. When time is up there is one last
look, so that a copy whose reader is behind still tells what the database knows.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from libs.events.envelope import Event, Malformed
from services.intake.decisions import Decision, decision_of

MAX_WAIT_S = 10
"""A longer one is cut to this, and `Preference-Applied` says so."""
REMEMBERED = 2_048
"""Contacts whose latest decision this copy remembers: those of some seconds, and the read model is behind by fewer."""

_PREFERENCE = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("[^"]*"|[^\s;"]*))?\s*(?:;.*)?')

Look = Callable[[], Awaitable[Decision | None]]


def wait_preferred(prefer: str | None) -> int | None:
    """The seconds that a `Prefer` header asks to wait, cut to MAX_WAIT_S; None where it does not ask.

    The first `wait` counts, and one that is no number is ignored (RFC 7240, section 2).
    """
    for preference in prefer.split(",") if prefer else ():
        match = _PREFERENCE.fullmatch(preference)
        if match and match[1].lower() == "wait":
            value = (match[2] or "").strip('"')
            return min(int(value), MAX_WAIT_S) if re.fullmatch("[0-9]{1,9}", value) else None
    return None


class Waits:
    """The answers that this copy holds back."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[Decision]]] = defaultdict(set)
        self._recent: OrderedDict[str, Decision] = OrderedDict()

    def __len__(self) -> int:
        """How many contacts are waited for."""
        return len(self._waiting)

    @contextmanager
    def registered(self, contact: str) -> Iterator[asyncio.Future[Decision]]:
        """A place among those who wait for the contact's decision. Take it before the append."""
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        if contact in self._recent:
            future.set_result(self._recent[contact])
        self._waiting[contact].add(future)
        try:
            yield future
        finally:
            future.cancel()
            self._waiting[contact].discard(future)
            if not self._waiting[contact]:
                del self._waiting[contact]

    def on_event(self, event: Event) -> None:
        """For this copy's own reader of `hueandcry.routing`: remember the decision, wake who waits for it."""
        try:
            decision = decision_of(event)
        except Malformed:
            return  # the shared reader parks it for people to see
        if decision is None:
            return
        known = self._recent.get(event.subject)
        if known is not None and known.version >= decision.version:
            return  # a relay that was paused sends again
        self._recent[event.subject] = decision
        self._recent.move_to_end(event.subject)
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        for future in self._waiting.get(event.subject, ()):
            if not future.done():
                future.set_result(decision)


async def decision_within(future: asyncio.Future[Decision], seconds: float, look: Look) -> Decision | None:
    """The decision, as soon as it is there; None when it is not there in time."""
    if future.done():
        return future.result()
    if decision := await look():
        return decision
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        return await look()
