"""What may happen to a contact in a queue: placed, moved, taken, given back, confirmed, withdrawn. Pure.

Each function is given the contact as it is and returns the facts that follow, none where nothing changes; a refusal is
an exception of its own. A contact keeps its place in time (`waiting_since`) through all of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from libs.alliance import Alliance
from libs.events.types import Fact
from libs.events.types.routing import (
    ContactAbandoned,
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
    OwnerConfirmed,
)
from services.router.contact import Contact, Heard
from services.router.decide import decide

QueueCondition = Literal["Active", "Full", "Disabled"]
"""The members of NENA i3's QueueState `state` that we use."""


class Refused(Exception):
    """What was asked cannot be done with this contact as it is."""


class NotWaiting(Refused):
    """It waits in no queue."""


class NotAnswered(Refused):
    """No handler has it."""


class HeldByAnother(Refused):
    """Another handler has it."""


class UnknownForce(Refused):
    """The alliance's directory knows no such force."""


def place(contact: Contact, heard: Heard, alliance: Alliance) -> list[Fact]:
    """Put the contact where it belongs by all that is known now; nothing where that is the same as before.

    A contact that somebody has, or that is over, gets the decision on its record and stays where it is.
    """
    decision = decide(heard, alliance, contact.confirmed_owner)
    return [] if contact.decision is not None and _same(contact.decision, decision) else [decision]


def place_anew(contact: Contact, heard: Heard, alliance: Alliance) -> list[Fact]:
    """Where it belongs by now, if it waits in a queue that the directory no longer knows.

    Nothing where the decision was made by more of the directory than `alliance` is.
    """
    decision = contact.decision
    if contact.status != "waiting" or decision is None or decision.queue in alliance.queues:
        return []
    return [] if decision.directory_position > alliance.position else place(contact, heard, alliance)


def withdraw(contact: Contact, heard: Heard, _alliance: Alliance) -> list[Fact]:
    """The contact ended: abandoned if it waited for an answer, closed if somebody had it.

    A report that arrived whole waits to be read; nobody hung up on it.
    """
    if heard.ended_at is None or contact.decision is None:
        return []
    if contact.status == "answered":
        return [ContactClosed(handler=contact.handler, ended_at=heard.ended_at)]
    if contact.status == "waiting" and contact.decision.needs_handler:
        return [
            ContactAbandoned(
                queue=contact.decision.queue,
                invite_timestamp=heard.invited_at,
                cancel_timestamp=heard.ended_at,
            )
        ]
    return []


def take(contact: Contact, *, handler: str, force: str | None, site: str | None, now: datetime) -> list[Fact]:
    """A handler takes it. Raises NotWaiting."""
    if contact.status != "waiting" or contact.decision is None:
        raise NotWaiting
    return [
        ContactAnswered(
            handler=handler,
            answering_force=force,
            answering_site=site,
            queue=contact.decision.queue,
            waited_s=max(0.0, (now - contact.decision.waiting_since).total_seconds()),
        )
    ]


def give_back(contact: Contact, *, handler: str, reason: str, overrule: bool = False) -> list[Fact]:
    """Its handler, or who may `overrule` him, gives it back unfinished: to the queue where it belongs by now.

    Raises NotAnswered, HeldByAnother.
    """
    if contact.status != "answered" or contact.decision is None:
        raise NotAnswered
    if contact.handler != handler and not overrule:
        raise HeldByAnother
    return [ContactReleased(handler=contact.handler or handler, queue=contact.decision.queue, reason=reason)]


def confirm(contact: Contact, heard: Heard, alliance: Alliance, *, owning_force: str, handler: str) -> list[Fact]:
    """A handler says who owns the contact: nothing is provisional after that, and no later location overrides it.

    Saying it again changes nothing; saying otherwise corrects it. Raises UnknownForce.
    """
    if owning_force not in alliance.forces:
        raise UnknownForce(owning_force)
    if contact.confirmed_owner == owning_force:
        return []
    decision = decide(heard, alliance, confirmed_owner=owning_force)
    return [OwnerConfirmed(owning_force=owning_force, handler=handler), decision]


def condition(length: int, max_length: int | None) -> QueueCondition:
    """A queue's state. `max_length` None: the directory knows the queue no longer, and contacts still wait in it."""
    if max_length is None:
        return "Disabled"
    return "Full" if length >= max_length else "Active"


def _same(one: ContactRouted, other: ContactRouted) -> bool:
    """Whether two decisions say the same, whatever had been seen when they were made."""
    return one == msgspec.structs.replace(
        other,
        contact_version=one.contact_version,
        directory_position=one.directory_position,
    )
