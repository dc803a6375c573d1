"""Where a contact is taken: load, decide, append, and answer a repeated request with the first one's answer.

Invariants: nothing is answered before it is on disk, and nothing here calls another service. A new contact costs one
append and no read. What is read is read under the caller's scope: of what he may not see nothing is known here.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog
from uuid_utils import uuid7

from libs.events.envelope import Event, events_of
from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.errors import ClaimTaken, Conflict, Unavailable
from libs.events.log.scope import ALLIANCE, Access, Scope
from libs.events.log.store import Append, Claim, event_of, holder
from libs.events.types.contacts import ContactReceived
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.idempotency import Keyed
from libs.service.problem import NotFound
from services.intake import legs, reference
from services.intake.contact import AddLeg, Change, Contact, ReceiveContact, contact_of, decide
from services.intake.decisions import Decision, decision_from, latest_decision
from services.intake.waits import Waits, decision_within

log = structlog.get_logger(__name__)

DRAWS = 10
"""How often a reference is drawn before something must be wrong."""
TRIES = 20
"""How often a command is decided again because the contact moved on meanwhile."""

_READ = "SELECT told, decision_version, decided_at, fact FROM contact_in_scope($1, $2, $3)"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Receipt(NamedTuple):
    contact: str
    reference: str
    received_at: datetime


class Changed(NamedTuple):
    contact: Contact
    """After the command."""
    made: str
    """The id of what it made: of the first time, where the request is a repeat."""
    decision: Decision | None
    """The latest when the command was decided."""


class Desk:
    def __init__(self, reader: Database, appender: Appender, waits: Waits) -> None:
        self._reader = reader
        self._appender = appender
        self._waits = waits

    async def receive(
        self, received: ContactReceived, *, keyed: Keyed | None, wait_s: int | None
    ) -> tuple[Receipt, Decision | None]:
        """Open a contact, or find the one that the same request opened before; then wait for its decision, if asked.

        Raises IdempotencyMismatch, Unavailable.
        """
        contact = str(uuid7())
        seen = Scope((), received.gateway)
        if wait_s is None:
            return await self._open(contact, received, keyed), None
        with self._waits.registered(contact) as decided:
            receipt = await self._open(contact, received, keyed)
            if receipt.contact == contact:
                return receipt, await self._decision(seen, contact, decided, wait_s)
        with self._waits.registered(receipt.contact) as decided:
            return receipt, await self._decision(seen, receipt.contact, decided, wait_s)

    async def _open(self, contact: str, received: ContactReceived, keyed: Keyed | None) -> Receipt:
        for _ in range(DRAWS):
            [fact] = decide(None, ReceiveContact(received))
            event = Event.of(
                fact,
                source=self._reader.source,
                subject=contact,
                version=1,
                force=received.presented_force,
                traceparent=current_traceparent(),
            )
            access = (
                Access("brought", holder=received.gateway),
                Access("alliance", ALLIANCE)
                if received.presented_force is None
                else Access("presented", received.presented_force),
            )
            claims = [Claim(reference.claim_key(received.reference), b"")]
            if keyed is not None:
                claims.append(keyed.claim(contact, contact))
            try:
                await self._appender.append(Append(contact, 0, (event,), claims, access))
            except ClaimTaken:
                if keyed is not None and (first := await self._first(keyed, received.gateway)) is not None:
                    return first
                received = msgspec.structs.replace(received, reference=reference.draw())
            else:
                return Receipt(contact, received.reference, event.time)
        raise Unavailable("no free reference was found")

    async def _first(self, keyed: Keyed, gateway: str) -> Receipt | None:
        """The contact that the gateway's key has opened; None where the key is free."""
        held = await holder(self._reader, keyed.claim_key)
        if held is None:
            return None
        contact, _ = await self._read(Scope((), gateway), keyed.made(*held))
        if contact is None:
            raise Unavailable("the contact of this key cannot be read")
        return Receipt(contact.id, contact.received.reference, contact.received_at)

    async def _decision(
        self, seen: Scope, contact: str, decided: asyncio.Future[Decision], wait_s: int
    ) -> Decision | None:
        """The decision within the wait. The contact is on disk: whatever fails here only delays the decision."""

        async def look() -> Decision | None:
            try:
                return await latest_decision(self._reader, seen, contact)
            except Unavailable:
                return None

        return await decision_within(decided, wait_s, look)

    async def change(
        self,
        caller: Caller,
        contact_id: str,
        command: Change,
        *,
        made: str,
        keyed: Keyed | None,
        found: Callable[[Contact], None],
    ) -> Changed:
        """Do it, once however often the request is sent.

        `found` sees the contact before anything is done, and may raise.

        Raises NotFound, a Refused, IdempotencyMismatch, Unavailable.
        """
        seen = _may_add_to(caller) if isinstance(command, AddLeg) else _may_change(caller)
        for attempt in range(TRIES):
            # Before the contact is loaded, so that what the first request made is in it.
            held = None if keyed is None else await holder(self._reader, keyed.claim_key)
            contact, decision = await self._load(seen, contact_id)
            if attempt == 0:
                found(contact)
            if keyed is not None and held is not None:
                return Changed(contact, keyed.made(*held, of=contact.id), decision)
            events = events_of(
                decide(contact, command),
                source=self._reader.source,
                subject=contact.id,
                after=contact.version,
                force=contact.received.presented_force,
                traceparent=current_traceparent(),
            )
            if not events:
                return Changed(contact, made, decision)
            claims = [] if keyed is None else [keyed.claim(contact.id, made)]
            access = _access_of(contact, command)
            try:
                await self._appender.append(Append(contact.id, contact.version, events, claims, access))
            except (Conflict, ClaimTaken):
                await asyncio.sleep(random.uniform(0, 0.005 * attempt))  # noqa: S311  # so that many do not meet again
            else:
                return Changed(contact_of(events, contact) or contact, made, decision)
        raise Unavailable("the contact is changing too fast")

    async def show(self, caller: Caller, contact_id: str) -> tuple[Contact, Decision | None]:
        """The contact and its latest decision, by the contact's id or its reference.

        Raises NotFound where there is no such contact, or none that the caller may see.
        """
        contact, decision = await self._load(_may_change(caller), contact_id)
        if contact.received.gateway != caller.subject and legs.known_as(contact.legs, caller.subject, None):
            # Who brought a leg of it may add to it, and is not shown it for that.
            if caller.roles == {"gateway"}:
                raise NotFound
            return await self._load(Scope(caller.visible), contact.id)
        return contact, decision

    async def _load(self, seen: Scope, contact_id: str) -> tuple[Contact, Decision | None]:
        contact, decision = await self._read(seen, await self._id_of(contact_id))
        if contact is None:
            raise NotFound
        return contact, decision

    async def _read(self, seen: Scope, contact_id: str) -> tuple[Contact | None, Decision | None]:
        rows = await self._reader.fetch(_READ, *seen, contact_id)
        contact = contact_of(event_of(row["told"], self._reader.source) for row in rows)
        if not rows or rows[0]["fact"] is None:
            return contact, None
        return contact, decision_from(rows[0]["decision_version"], rows[0]["decided_at"], rows[0]["fact"])

    async def _id_of(self, text: str) -> str:
        if _UUID.fullmatch(text.lower()):
            return text.lower()
        written = reference.read(text)
        held = await holder(self._reader, reference.claim_key(written)) if written else None
        if held is None:
            raise NotFound
        return held[0]


def _may_change(caller: Caller) -> Scope:
    """A gateway: what it brought, or brought a leg of; everybody else: what was presented to, or is owned by, a force
    of theirs, and what is the alliance's, if they may see that."""
    gateway = caller.subject if "gateway" in caller.roles else None
    return Scope((), gateway) if caller.roles == {"gateway"} else Scope(caller.visible, gateway)


def _may_add_to(caller: Caller) -> Scope:
    """Whose calls may be presented by this gateway too: also those of the forces whose trunks its token says it serves,
    whichever gateway brought them. Nothing of them is shown to it."""
    return Scope(caller.visible, caller.subject)


def _access_of(contact: Contact, command: Change) -> tuple[Access, ...]:
    """Who may add to the contact from now on."""
    if not isinstance(command, AddLeg) or legs.known_as(contact.legs, command.leg.gateway, None):
        return ()
    return (Access("leg", holder=command.leg.gateway),)
