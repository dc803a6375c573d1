"""Where a contact is taken: load, decide, append, and answer a repeated request with the first one's answer.

Invariant: nothing is answered before it is on disk, and nothing here calls another service. A new contact costs one
append and no read.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import structlog
from uuid_utils import uuid7

from libs.events.envelope import Event, events_of
from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.errors import ClaimTaken, Conflict, Unavailable
from libs.events.log.store import Append, Claim, holder, load
from libs.events.types.contacts import ContactReceived
from libs.service.access import Belongs, may_know
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.idempotency import Keyed
from libs.service.problem import NotFound
from services.intake import reference
from services.intake.contact import AddLocation, AddMessage, Contact, EndContact, ReceiveContact, contact_of, decide
from services.intake.decisions import Decision, latest_decision
from services.intake.waits import Waits, decision_within

log = structlog.get_logger(__name__)

DRAWS = 10
"""How often a reference is drawn before something must be wrong."""
TRIES = 20
"""How often a command is decided again because the contact moved on meanwhile."""

Operation: TypeAlias = Literal["add_location", "add_message", "end_contact", "show_contact"]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Receipt(NamedTuple):
    contact: str
    reference: str
    received_at: datetime


class Desk:
    def __init__(self, database: Database, appender: Appender, waits: Waits) -> None:
        self._database = database
        self._appender = appender
        self._waits = waits

    async def receive(
        self, received: ContactReceived, *, keyed: Keyed | None, wait_s: int | None
    ) -> tuple[Receipt, Decision | None]:
        """Open a contact, or find the one that the same request opened before; then wait for its decision, if asked.

        Raises IdempotencyMismatch, Unavailable.
        """
        contact = str(uuid7())
        if wait_s is None:
            return await self._open(contact, received, keyed), None
        with self._waits.registered(contact) as decided:
            receipt = await self._open(contact, received, keyed)
            if receipt.contact == contact:
                return receipt, await self._decision(contact, decided, wait_s)
        with self._waits.registered(receipt.contact) as decided:
            return receipt, await self._decision(receipt.contact, decided, wait_s)

    async def _open(self, contact: str, received: ContactReceived, keyed: Keyed | None) -> Receipt:
        for _ in range(DRAWS):
            [fact] = decide(None, ReceiveContact(received))
            event = Event.of(
                fact,
                source=self._database.source,
                subject=contact,
                version=1,
                force=received.presented_force,
                traceparent=current_traceparent(),
            )
            claims = [Claim(reference.claim_key(received.reference), b"")]
            if keyed is not None:
                claims.append(keyed.claim(contact, contact))
            try:
                await self._appender.append(Append(contact, 0, (event,), claims))
            except ClaimTaken:
                if keyed is not None and (first := await self._first(keyed)) is not None:
                    return first
                received = msgspec.structs.replace(received, reference=reference.draw())
            else:
                return Receipt(contact, received.reference, event.time)
        raise Unavailable("no free reference was found")

    async def _first(self, keyed: Keyed) -> Receipt | None:
        """The contact that the key has opened; None where the key is free."""
        held = await holder(self._database, keyed.claim_key)
        if held is None:
            return None
        contact = contact_of(await load(self._database, keyed.made(*held)))
        if contact is None:
            raise Unavailable("the contact of this key cannot be read")
        return Receipt(contact.id, contact.received.reference, contact.received_at)

    async def _decision(self, contact: str, decided: asyncio.Future[Decision], wait_s: int) -> Decision | None:
        """The decision within the wait. The contact is on disk: whatever fails here only delays the decision."""

        async def look() -> Decision | None:
            try:
                return await latest_decision(self._database, contact)
            except Unavailable:
                return None

        return await decision_within(decided, wait_s, look)

    async def change(
        self,
        operation: Operation,
        caller: Caller,
        contact_id: str,
        command: AddLocation | AddMessage | EndContact,
        *,
        made: str,
        keyed: Keyed | None,
        found: Callable[[Contact], None],
    ) -> tuple[Contact, str]:
        """The contact after the command, and the id of what it made: of the first time, where the request is a repeat.

        `found` sees the contact before anything is done, and may raise.

        Raises NotFound, a Refused, IdempotencyMismatch, Unavailable.
        """
        for attempt in range(TRIES):
            # Before the contact is loaded, so that what the first request made is in it.
            held = None if keyed is None else await holder(self._database, keyed.claim_key)
            contact = await self._visible(operation, caller, contact_id)
            if attempt == 0:
                found(contact)
            if keyed is not None and held is not None:
                return contact, keyed.made(*held, of=contact.id)
            events = events_of(
                decide(contact, command),
                source=self._database.source,
                subject=contact.id,
                after=contact.version,
                force=contact.received.presented_force,
                traceparent=current_traceparent(),
            )
            if not events:
                return contact, made
            claims = [] if keyed is None else [keyed.claim(contact.id, made)]
            try:
                await self._appender.append(Append(contact.id, contact.version, events, claims))
            except (Conflict, ClaimTaken):
                await asyncio.sleep(random.uniform(0, 0.005 * attempt))  # noqa: S311  # so that many do not meet again
            else:
                return contact_of(events, contact) or contact, made
        raise Unavailable("the contact is changing too fast")

    async def show(self, caller: Caller, contact_id: str) -> tuple[Contact, Decision | None]:
        """The contact and its latest decision, by the contact's id or its reference. Raises NotFound."""
        contact = await self._visible("show_contact", caller, contact_id)
        return contact, await latest_decision(self._database, contact.id)

    async def _visible(self, operation: Operation, caller: Caller, contact_id: str) -> Contact:
        """Raises NotFound where there is no such contact, or none that the operation shows to the caller.

        Until a decision is known, it is owned by whom it was presented to.
        """
        contact = contact_of(await load(self._database, await self._id_of(contact_id)))
        if contact is None:
            raise NotFound
        presented = contact.received.presented_force
        belongs = Belongs(presented=presented, gateway=contact.received.gateway)
        if may_know(operation, caller, belongs):  # whoever owns it
            return contact
        decision = await latest_decision(self._database, contact.id)
        belongs = Belongs.to(
            decision.routed.owning_force if decision else presented,
            presented=presented,
            gateway=contact.received.gateway,
            alliances=decision is not None and decision.routed.cause == "no-queue",
        )
        if not may_know(operation, caller, belongs):
            raise NotFound
        return contact

    async def _id_of(self, text: str) -> str:
        if _UUID.fullmatch(text.lower()):
            return text.lower()
        written = reference.read(text)
        held = await holder(self._database, reference.claim_key(written)) if written else None
        if held is None:
            raise NotFound
        return held[0]
