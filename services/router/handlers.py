"""What a handler does with a contact: take the next, give one back, say whose it is.

Invariant: no contact is ever in two handlers' hands. A claim deletes the row of the contact it takes, and appends to
its stream at the version it saw, in one transaction; rows that another transaction holds are passed by. All of it is
read under the caller's scope: what he may not see he cannot decide on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
import structlog

from libs.alliance import Alliance
from libs.events.envelope import events_of
from libs.events.log import scope
from libs.events.log.database import Connection, Database
from libs.events.log.errors import ClaimTaken, Conflict, Unavailable
from libs.events.log.scope import Scope
from libs.events.log.store import Append, Claim, append, holder, load
from libs.events.types import Fact
from libs.events.types.routing import ContactAnswered
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.idempotency import Keyed
from services.router import entries, queue
from services.router.contact import Contact, Heard, fold

log = structlog.get_logger(__name__)

PATIENCE_S = 1.5
"""How long a claim waits for contacts that are being taken or moved, before it says that it cannot tell."""
AGAIN = (Conflict, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Somebody changed the contact at the same moment: read it again, decide again."""
TRIES = 5

OnCommit = Callable[[], None]


class UnknownContact(Exception):
    """No such contact is routed, or none that the caller may know of."""


class GivenBack(Exception):
    """What the key took is no longer in its taker's hands: it waits again, or another handler has it."""


@dataclass(frozen=True, slots=True)
class Taker:
    """Who takes a contact, for whom and where, of those he may see."""

    scope: Scope
    subject: str
    force: str | None
    site: str | None


class Taken(NamedTuple):
    contact: str
    state: Contact
    answered: ContactAnswered
    at: datetime


def scope_of(caller: Caller) -> Scope:
    """The contacts that are a caller's to know: owned by, presented to or answered for one of its forces, in its own
    hands, or the alliance's and the caller may see what is."""
    return Scope(caller.visible, caller.subject)


# Taking the next ----------------------------------------------------------------------------------------------------


async def claim_next(
    database: Database, queue_id: str, taker: Taker, *, keyed: Keyed | None, on_commit: OnCommit
) -> Taken | None:
    """Take the next contact of a queue, the most urgent first, then the one that has waited longest. None: it is empty.

    Under the same key the same taker gets the same contact, however often he asks, as long as it is his.

    Raises IdempotencyMismatch, GivenBack, Unavailable.
    """
    if keyed is not None and (before := await _taken_before(database, keyed, taker)) is not None:
        return before
    delay = 0.005
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            async with database.transaction() as connection:
                await scope.begin(connection, taker.scope)
                contact = await entries.take_next(connection, queue_id)
                if contact is None and not await entries.anybody_waits(connection, queue_id):
                    return None
                taken = None if contact is None else await _answer(connection, contact, taker, keyed, database.source)
            if taken is not None:
                on_commit()
                return taken
        except ClaimTaken:
            if keyed is not None and (before := await _taken_before(database, keyed, taker)) is not None:
                return before
        except AGAIN as error:
            log.info("claim_again", queue=queue_id, error=type(error).__name__)
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable("every contact in the queue is being taken or moved just now")
        await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311  (so that losers do not meet again)
        delay = min(delay * 2, 0.1)


async def _answer(connection: Connection, subject: str, taker: Taker, keyed: Keyed | None, source: str) -> Taken | None:
    """Answer a contact whose row is ours. None: the row was wrong, nobody waits there; it is gone now."""
    contact = (await entries.contacts(connection, [subject]))[subject]
    now = datetime.now(UTC)
    try:
        facts = queue.take(contact, handler=taker.subject, force=taker.force, site=taker.site, now=now)
    except queue.NotWaiting:
        log.error("row_without_a_waiting_contact", contact=subject, status=contact.status)
        return None
    after = fold(facts, contact)
    claims = [] if keyed is None else [keyed.claim(subject, subject)]
    await entries.keep_access(connection, {subject: after})
    await append(connection, [_append(subject, contact, after, facts, source, at=now, claims=claims)])
    [answered] = [fact for fact in facts if isinstance(fact, ContactAnswered)]
    return Taken(subject, after, answered, now)


async def _taken_before(database: Database, keyed: Keyed, taker: Taker) -> Taken | None:
    """What this key took before, as it is now. Raises IdempotencyMismatch, GivenBack."""
    held = await holder(database, keyed.claim_key)
    if held is None:
        return None
    subject = keyed.made(*held)
    async with database.transaction() as connection:
        await scope.begin(connection, taker.scope)
        events = await load(connection, subject)
    facts = [entries.fact_of(event) for event in events]
    if fold(facts).handler != taker.subject:
        raise GivenBack
    for event, fact in zip(reversed(events), reversed(facts), strict=True):
        if isinstance(fact, ContactAnswered) and fact.handler == taker.subject:
            return Taken(subject, fold(facts), fact, event.time)
    return None


# One contact --------------------------------------------------------------------------------------------------------


async def release(database: Database, subject: str, caller: Caller, *, reason: str, on_commit: OnCommit) -> Contact:
    """Give a contact back to where it belongs, at its old place in time. A supervisor may do so for another.

    Raises UnknownContact, NotAnswered, HeldByAnother.
    """
    return await change(
        database,
        subject,
        lambda contact, _: queue.give_back(
            contact, handler=caller.subject, reason=reason, overrule="supervisor" in caller.roles
        ),
        on_commit,
        seen=scope_of(caller),
    )


async def confirm_owner(
    database: Database, subject: str, caller: Caller, *, force: str, alliance: Alliance, on_commit: OnCommit
) -> Contact:
    """Say who owns a contact; it moves there if it waits. Raises UnknownContact, UnknownForce."""
    return await change(
        database,
        subject,
        lambda contact, heard: queue.confirm(contact, heard, alliance, owning_force=force, handler=caller.subject),
        on_commit,
        seen=scope_of(caller),
    )


async def change(
    database: Database,
    subject: str,
    decide: Callable[[Contact, Heard], list[Fact]],
    on_commit: OnCommit,
    *,
    seen: Scope | None = None,
) -> Contact:
    """Load under the scope, decide, write the row and the facts; again where somebody else was faster. Without a scope
    it is nobody's command, and a consumer's database."""
    for left in reversed(range(TRIES)):
        try:
            async with database.transaction() as connection:
                if seen is not None:
                    await scope.begin(connection, seen)
                heard = (await entries.lock(connection, [subject])).get(subject)
                contact = (await entries.contacts(connection, [subject]))[subject]
                if heard is None or contact.decision is None:
                    raise UnknownContact
                facts = decide(contact, heard)
                if not facts:
                    return contact
                after = fold(facts, contact)
                await entries.show(connection, {subject: after})
                await entries.keep_access(connection, {subject: after})
                await append(connection, [_append(subject, contact, after, facts, database.source)])
        except AGAIN:
            if not left:
                raise
        else:
            on_commit()
            return after
    raise AssertionError("unreachable")


def _append(
    subject: str,
    before: Contact,
    after: Contact,
    facts: Sequence[Fact],
    source: str,
    *,
    at: datetime | None = None,
    claims: Sequence[Claim] = (),
) -> Append:
    events = events_of(
        facts,
        source=source,
        subject=subject,
        after=before.version,
        force=after.decision.owning_force if after.decision else None,
        traceparent=current_traceparent(),
        time=at,
    )
    return Append(subject, before.version, events, claims)
