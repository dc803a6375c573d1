"""The legs of a call: each way by which the network has presented it. One contact, however many there are.

Pure. Invariants
  * The first leg is the contact's own beginning, and has its id.
  * A leg is one gateway's, under the call id which that gateway knows it by. Told again it is the same leg, and what
    was said first stands.
  * A gateway ends its own legs and nobody else's. The contact ends with its last leg, or when staff say so: a route
    that the network gives up, while the caller speaks on another, takes nobody out of a queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from libs.events.types.contacts import ContactLegAdded, ContactLegEnded, ContactReceived

MAX_LEGS = 20
"""Of one contact."""


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    gateway: str
    call_id: str | None
    """None where a first leg came without one."""
    added_at: datetime
    trunk: str | None = None
    dialled_number: str | None = None
    presented_force: str | None = None
    presented_at: datetime | None = None
    calling_number: str | None = None
    """None: withheld, or the personal part is gone."""
    ended: ContactLegEnded | None = None
    """None: it goes on, or ended with the contact."""

    def is_called(self, gateway: str, call_id: str | None) -> bool:
        """Whether it is the gateway's, under this call id; None stands for any."""
        return self.gateway == gateway and call_id in (None, self.call_id)


def first(contact: str, received: ContactReceived, at: datetime) -> Leg:
    """The leg that a contact begins with."""
    return Leg(
        id=contact,
        gateway=received.gateway,
        call_id=received.call_id,
        added_at=at,
        trunk=received.trunk,
        dialled_number=received.dialled_number,
        presented_force=received.presented_force,
        presented_at=received.presented_at,
        calling_number=received.personal.calling_number if received.personal else None,
    )


def further(fact: ContactLegAdded, at: datetime) -> Leg:
    return Leg(
        id=fact.leg_id,
        gateway=fact.gateway,
        call_id=fact.call_id,
        added_at=at,
        trunk=fact.trunk,
        dialled_number=fact.dialled_number,
        presented_force=fact.presented_force,
        presented_at=fact.presented_at,
        calling_number=fact.personal.calling_number if fact.personal else None,
    )


def ended(legs: Iterable[Leg], fact: ContactLegEnded) -> tuple[Leg, ...]:
    return tuple(msgspec.structs.replace(leg, ended=fact) if leg.id == fact.leg_id else leg for leg in legs)


def renumbered(legs: Iterable[Leg], wrong: str | None, right: str | None) -> tuple[Leg, ...]:
    """The legs, where the number that each of them came with was a wrong one."""
    return tuple(
        msgspec.structs.replace(leg, calling_number=right) if leg.calling_number == wrong else leg for leg in legs
    )


def known_as(legs: Iterable[Leg], gateway: str, call_id: str | None) -> list[Leg]:
    """The gateway's legs under this call id; without one, all of its own."""
    return [leg for leg in legs if leg.is_called(gateway, call_id)]
