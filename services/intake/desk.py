"""Where a contact is taken: load, decide, append, and answer a repeated request with the first one's answer.

Invariants: nothing is answered before it is on disk, and nothing here calls another service. A new contact costs one
append and no read. What is read is read under the caller's scope: of what he may not see nothing is known here. Every
contact has a key of its own from its first moment, and what identifies a person is sealed with it.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog
from uuid_utils import uuid7

from libs.events.envelope import Event, events_of
from libs.events.log.appender import Appender
from libs.events.log.database import Database
from libs.events.log.errors import ClaimTaken, Conflict, Unavailable
from libs.events.log.keyring import Keyring, StreamKey
from libs.events.log.scope import ALLIANCE, Access, Scope
from libs.events.log.store import Append, Claim, event_of, holder
from libs.events.types import Fact
from libs.events.types.contacts import ContactReceived
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.idempotency import Keyed
from libs.service.problem import NotFound
from services.intake import reference
from services.intake.contact import Contact, ReceiveContact, contact_of, decide
from services.intake.decisions import Decision, decision_from, latest_decision
from services.intake.waits import Waits, decision_within

log = structlog.get_logger(__name__)

DRAWS = 10
"""How often a reference is drawn before something must be wrong."""
TRIES = 20
"""How often a command is decided again because the contact moved on meanwhile."""

_READ = "SELECT told, decision_version, decided_at, fact, key FROM contact_in_scope($1, $2, $3)"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Receipt(NamedTuple):
    contact: str
    reference: str
    received_at: datetime


class Shown(NamedTuple):
    contact: Contact
    decision: Decision | None
    key: StreamKey
    """For what is said of it next."""


class Desk:
    def __init__(self, reader: Database, appender: Appender, waits: Waits, keyring: Keyring) -> None:
        self._reader = reader
        self._appender = appender
        self._waits = waits
        self._keyring = keyring

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
        key = self._keyring.new(contact)
        for _ in range(DRAWS):
            [fact] = decide(None, ReceiveContact(received))
            event = Event.of(
                fact,
                source=self._reader.source,
                subject=contact,
                version=1,
                force=received.presented_force,
                traceparent=current_traceparent(),
                key=key.secret,
            )
            access = (
                Access("brought", holder=received.gateway),
                Access("alliance", ALLIANCE)
                if received.presented_force is None
                else Access("presented", received.presented_force),
            )
            claims = [Claim(reference.claim_key(received.reference), b"")]
            if keyed is not None:
                claims.append(keyed.claim(contact, contact, key=key.secret))
            try:
                await self._appender.append(Append(contact, 0, (event,), claims, access, key.new))
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
        shown = await self._read(Scope((), gateway), held[0])
        if shown is None:
            raise Unavailable("the contact of this key cannot be read")
        contact = shown.contact
        keyed.made(*held, key=shown.key.secret)
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
        decided: Callable[[Contact], Sequence[Fact]],
        *,
        made: str,
        keyed: Keyed | None,
        found: Callable[[Contact, Decision | None], None],
    ) -> tuple[Contact, str]:
        """The contact after what is decided of it, and the id of what that made: of the first time, where the request
        is a repeat.

        `found` sees the contact before anything is done, and may raise.

        Raises NotFound, a Refused, IdempotencyMismatch, Unavailable.
        """
        for attempt in range(TRIES):
            # Before the contact is loaded, so that what the first request made is in it.
            held = None if keyed is None else await holder(self._reader, keyed.claim_key)
            contact, decision, key = await self._shown(caller, contact_id)
            if attempt == 0:
                found(contact, decision)
            if keyed is not None and held is not None:
                return contact, keyed.made(*held, of=contact.id, key=key.secret)
            events = events_of(
                decided(contact),
                source=self._reader.source,
                subject=contact.id,
                after=contact.version,
                force=contact.received.presented_force,
                traceparent=current_traceparent(),
                key=key.secret,
            )
            if not events:
                return contact, made
            claims = [] if keyed is None else [keyed.claim(contact.id, made, key=key.secret)]
            try:
                await self._appender.append(Append(contact.id, contact.version, events, claims, key=key.new))
            except (Conflict, ClaimTaken):
                await asyncio.sleep(random.uniform(0, 0.005 * attempt))  # noqa: S311  # so that many do not meet again
            else:
                return contact_of(events, contact) or contact, made
        raise Unavailable("the contact is changing too fast")

    async def show(self, caller: Caller, contact_id: str) -> tuple[Contact, Decision | None]:
        """The contact and its latest decision, by the contact's id or its reference.

        Raises NotFound where there is no such contact, or none that the caller may see.
        """
        contact, decision, _ = await self._shown(caller, contact_id)
        return contact, decision

    async def _shown(self, caller: Caller, contact_id: str) -> Shown:
        shown = await self._read(scope_of(caller), await self.id_of(contact_id))
        if shown is None:
            raise NotFound
        return shown

    async def _read(self, seen: Scope, contact_id: str) -> Shown | None:
        rows = await self._reader.fetch(_READ, *seen, contact_id)
        if not rows:
            return None
        first = rows[0]
        key = self._keyring.key_of(contact_id, first["key"])
        contact = contact_of(event_of(row["told"], self._reader.source).opened(key.secret) for row in rows)
        if contact is None:
            return None
        if first["fact"] is None:
            return Shown(contact, None, key)
        return Shown(contact, decision_from(first["decision_version"], first["decided_at"], first["fact"]), key)

    async def id_of(self, text: str) -> str:
        """The id that a contact has, by that or by its reference. Raises NotFound where nothing has this reference."""
        if _UUID.fullmatch(text.lower()):
            return text.lower()
        written = reference.read(text)
        held = await holder(self._reader, reference.claim_key(written)) if written else None
        if held is None:
            raise NotFound
        return held[0]


def scope_of(caller: Caller) -> Scope:
    """A gateway sees what it brought; everybody else what was presented to, or is owned by, a force of theirs, and what
    is the alliance's, if they may see that."""
    gateway = caller.subject if "gateway" in caller.roles else None
    return Scope((), gateway) if caller.roles == {"gateway"} else Scope(caller.visible, gateway)
