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
from libs.service.abreast import abreast
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.idempotency import Keyed
from libs.service.problem import NotFound
from libs.service.trace import NO_REASON, Why
from services.intake import legs, reference
from services.intake.contact import ReceiveContact, contact_of, decide
from services.intake.decisions import Decision, decision_from, latest_decision
from services.intake.known import Contact
from services.intake.waits import Waits, decision_within

log = structlog.get_logger(__name__)

DRAWS = 10
"""How often a reference is drawn before something must be wrong."""
TRIES = 20
"""How often a command is decided again because the contact moved on meanwhile."""

PATIENCE_S = 1.5
"""A handler may be quicker than Kafka: how long we wait to hear that a contact is in his hands."""
_LOOK_EVERY_S = 0.05

_READ = "SELECT told, decision_version, decided_at, fact, key, in_hand FROM contact_in_scope($1, $2, $3, $4)"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Receipt(NamedTuple):
    contact: str
    reference: str
    received_at: datetime


class Opened(NamedTuple):
    """A contact as one caller may see it now."""

    contact: Contact
    decision: Decision | None
    key: StreamKey
    """For what is said of it next."""
    in_hand: str | None
    """The contact in his hands for which he sees it: this one, or the one that he named."""
    broke_glass: bool = False

    @property
    def force(self) -> str | None:
        """Whose data it is: its owner's, and until one is known that of the force it was presented to."""
        owner = None if self.decision is None else self.decision.routed.owning_force
        return owner or self.contact.received.presented_force


class Changed(NamedTuple):
    contact: Contact
    """After the command."""
    made: str
    """The id of what it made: of the first time, where the request is a repeat."""
    decision: Decision | None
    """The latest when the command was decided."""


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
        await abreast()
        key = self._keyring.new(contact)
        await abreast()
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
        opened = await self._read(Scope((), gateway), held[0])
        if opened is None:
            raise Unavailable("the contact of this key cannot be read")
        contact = opened.contact
        keyed.made(*held, key=opened.key.secret)
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
        leg: bool = False,
    ) -> Changed:
        """Append what is decided of the contact, once however often the request is sent. `leg`: it is one more leg of
        the call, which another gateway may bring than the contact's own, and by which it may add to it afterwards.

        `found` sees the contact before anything is done, and may raise.

        Raises NotFound, a Refused, IdempotencyMismatch, Unavailable.
        """
        for attempt in range(TRIES):
            # Before the contact is loaded, so that what the first request made is in it.
            held = None if keyed is None else await holder(self._reader, keyed.claim_key)
            opened = await self._found(_may_add_a_leg(caller) if leg else scope_of(caller), contact_id)
            contact, decision, key = opened.contact, opened.decision, opened.key
            if attempt == 0:
                found(contact, opened.decision)
            if keyed is not None and held is not None:
                return Changed(contact, keyed.made(*held, of=contact.id, key=key.secret), decision)
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
                return Changed(contact, made, decision)
            claims = [] if keyed is None else [keyed.claim(contact.id, made, key=key.secret)]
            access = _access_of(contact, caller) if leg else ()
            try:
                await self._appender.append(Append(contact.id, contact.version, events, claims, access, key.new))
            except (Conflict, ClaimTaken):
                await asyncio.sleep(random.uniform(0, 0.005 * attempt))  # noqa: S311  # so that many do not meet again
            else:
                return Changed(contact_of(events, contact) or contact, made, decision)
        raise Unavailable("the contact is changing too fast")

    async def open(self, caller: Caller, contact_id: str, why: Why = NO_REASON) -> Opened:
        """The contact and its latest decision, by the contact's id or its reference.

        Raises NotFound where there is no such contact, or none that the caller may open.
        """
        id_, own = await self.id_of(contact_id), _own(caller)
        opened = await self._read(own, id_, why.in_hand)
        if opened is not None and opened.in_hand is None and _brought_only_a_leg(opened.contact, caller):
            # Who brought a leg of it may add to it, and is not shown it for that.
            opened = await self._read(Scope(own.forces, None), id_)
        if opened is None and _is_staff(caller) and caller.visible != caller.at_home:
            beyond = await self._read(Scope(caller.visible, caller.subject), id_, why.in_hand)
            if beyond is not None and why.break_glass is not None:
                return beyond._replace(broke_glass=True)
            if beyond is not None:
                opened = await self._await_hands(own, id_, why.in_hand)
        if opened is None:
            raise NotFound
        return opened

    async def find(self, caller: Caller, contact_id: str) -> Opened:
        """The contact, for one who says something of it, or sees to what is kept of it: within all his token's reach.

        Raises NotFound.
        """
        return await self._found(scope_of(caller), contact_id)

    async def _found(self, seen: Scope, contact_id: str) -> Opened:
        found = await self._read(seen, await self.id_of(contact_id))
        if found is None:
            raise NotFound
        return found

    async def _await_hands(self, own: Scope, contact_id: str, read_for: str | None) -> Opened | None:
        """Another force's contact, once it is in the caller's hands; None: it does not come into them."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        opened = None
        while opened is None and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_LOOK_EVERY_S)
            opened = await self._read(own, contact_id, read_for)
        return opened

    async def _read(self, seen: Scope, contact_id: str, read_for: str | None = None) -> Opened | None:
        rows = await self._reader.fetch(_READ, *seen, contact_id, read_for)
        if not rows:
            return None
        first = rows[0]
        key = self._keyring.key_of(contact_id, first["key"])
        contact = contact_of(event_of(row["told"], self._reader.source).opened(key.secret) for row in rows)
        if contact is None:
            return None
        decision = first["fact"] and decision_from(first["decision_version"], first["decided_at"], first["fact"])
        return Opened(contact, decision, key, first["in_hand"])

    async def id_of(self, text: str) -> str:
        """The id that a contact has, by that or by its reference. Raises NotFound where nothing has this reference."""
        if _UUID.fullmatch(text.lower()):
            return text.lower()
        written = reference.read(text)
        held = await holder(self._reader, reference.claim_key(written)) if written else None
        if held is None:
            raise NotFound
        return held[0]


def _own(caller: Caller) -> Scope:
    """What a caller may open: a gateway what it brought; everybody else what was presented to, or is owned by, their
    home force, what is in their own hands, and what is the alliance's, if they may see that."""
    return Scope(caller.at_home if _is_staff(caller) else (), caller.subject)


def scope_of(caller: Caller) -> Scope:
    """What a caller may add to: a gateway what it brought, or brought a leg of; everybody else what was presented to,
    or is owned by, a force of theirs, and what is the alliance's, if they may see that."""
    gateway = caller.subject if "gateway" in caller.roles else None
    return Scope(caller.visible if _is_staff(caller) else (), gateway)


def _may_add_a_leg(caller: Caller) -> Scope:
    """Whose calls may be presented by this gateway too: also those of the forces whose trunks its token says it serves,
    whichever gateway brought them. Nothing of them is shown to it."""
    return Scope(caller.visible, caller.subject)


def _is_staff(caller: Caller) -> bool:
    return caller.roles != {"gateway"}


def _brought_only_a_leg(contact: Contact, caller: Caller) -> bool:
    return contact.received.gateway != caller.subject and bool(legs.known_as(contact.legs, caller.subject, None))


def _access_of(contact: Contact, gateway: Caller) -> tuple[Access, ...]:
    """Who may add to the contact from now on."""
    known = legs.known_as(contact.legs, gateway.subject, None)
    return () if known else (Access("leg", holder=gateway.subject),)
