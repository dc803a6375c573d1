"""How a contact finds its owning force and its queue: the policy, and nothing else.

1.  What a handler confirmed stands.
2.  The place decides: where the caller is; for a report or a conversation in writing whose caller's place names no
    force of the alliance, where it happened. Of several locations the latest heard counts, except that one that names
    no force never displaces one that does.
3.  The owning force has the largest share of the place's area. Too close to a border to say: the candidate that the
    contact was presented to, else the alliance's candidate with the largest share, until a handler confirms.
4.  No usable place, one outside every area, or one of a force outside the alliance: the force that the contact was
    presented to, until a handler confirms.
5.  Its queue follows from force, line, channel and emergency; its priority from the queue, except that what cannot wait
    comes first in whichever queue it waits.
6.  What then still has no force or no queue waits in the alliance's default queue, with the reason.
"""

from __future__ import annotations

from typing import NamedTuple

from libs.alliance import Alliance, cannot_wait
from libs.events.types.contacts import Line
from libs.events.types.directory import QueueDefined
from libs.events.types.routing import Cause, ContactRouted
from services.router.contact import Heard, Placed

FIRST = 1
"""The priority of what cannot wait."""


class NoDefaultQueue(Exception):
    """The directory names no default queue (yet): nothing may be decided."""


class Owner(NamedTuple):
    force: str | None
    """None: the alliance's, until a handler confirms."""
    cause: Cause
    provisional: bool
    place: Placed | None = None
    """The place that was looked at."""


def decide(heard: Heard, alliance: Alliance, confirmed_owner: str | None = None) -> ContactRouted:
    """The decision about a contact, from all that was heard of it and one moment's picture of the alliance.

    Raises NoDefaultQueue.
    """
    default_queue = alliance.default_queue
    if default_queue is None:
        raise NoDefaultQueue
    owner = owner_of(heard, alliance, confirmed_owner)
    queue = queue_of(heard, alliance, owner.force)
    if queue is None:
        queue = default_queue
        if owner.force is not None:
            owner = owner._replace(cause="no-queue")
    place = owner.place
    return ContactRouted(
        reference=heard.reference,
        channel=heard.channel,
        medium=heard.medium,
        line=line_of(heard, alliance),
        owning_force=owner.force,
        presented_force=presented_to(heard, alliance),
        provisional=owner.provisional,
        cause=owner.cause,
        queue=queue.id,
        recipient_uri=queue.uri,
        priority=FIRST if _cannot_wait(heard, alliance) else queue.priority,
        candidates=place.candidates if place else (),
        border_m=place.border_m if place else None,
        location_id=place.location_id if place else None,
        incident_force=incident_force(heard),
        generation=place.generation if place else None,
        directory_position=alliance.position,
        contact_version=heard.version,
        waiting_since=heard.received_at,
        needs_handler=heard.channel != "web",
    )


def owner_of(heard: Heard, alliance: Alliance, confirmed_owner: str | None) -> Owner:
    if confirmed_owner is not None:
        return Owner(confirmed_owner, "confirmed", provisional=False)
    place = deciding_place(heard, alliance)
    presented = presented_to(heard, alliance)
    if place is not None and place.candidates:
        ours = [candidate.force for candidate in place.candidates if alliance.is_member(candidate.force)]
        if place.too_close and presented in ours:
            return Owner(presented, "border-presented", provisional=True, place=place)
        if place.too_close and ours:
            return Owner(ours[0], "border-largest-share", provisional=True, place=place)
        if alliance.is_member(place.candidates[0].force):
            return Owner(place.candidates[0].force, "location", provisional=False, place=place)
    return _without_a_force_there(heard, alliance, place, presented)


def _without_a_force_there(heard: Heard, alliance: Alliance, place: Placed | None, presented: str | None) -> Owner:
    force = presented if alliance.is_member(presented) else None
    cause: Cause
    if heard.unreadable:
        cause = "unprocessable"
    elif place is not None:
        cause = "not-in-alliance" if place.candidates else "outside-areas"
    elif force is not None:
        cause = "presented"
    elif presented is not None:
        cause = "unknown-presented-force"
    else:
        cause = "no-location-no-presented-force"
    return Owner(force, cause, provisional=True, place=place)


def deciding_place(heard: Heard, alliance: Alliance) -> Placed | None:
    """The caller's place; in writing the incident's, where the caller's is not known or names no force of ours."""
    if heard.channel in ("web", "online") and heard.incident is not None:
        at_home = heard.caller is not None and any(alliance.is_member(c.force) for c in heard.caller.candidates)
        return heard.caller if at_home else heard.incident
    return heard.caller


def presented_to(heard: Heard, alliance: Alliance) -> str | None:
    """Whose trunk or number the network chose: as it was said, else by the alliance's lines.

    The first that is a member of the alliance, else what was said, known or not.
    """
    line = alliance.line_of(trunk=heard.trunk, dialled_number=heard.dialled_number)
    by_line = None if line is None else line.force
    if alliance.is_member(by_line) and not alliance.is_member(heard.presented_force):
        return by_line
    return heard.presented_force or by_line


def line_of(heard: Heard, alliance: Alliance) -> Line | None:
    if heard.line is not None or heard.channel != "telephone":
        return heard.line
    line = alliance.line_of(trunk=heard.trunk, dialled_number=heard.dialled_number)
    return None if line is None else line.line


def queue_of(heard: Heard, alliance: Alliance, force: str | None) -> QueueDefined | None:
    """None: the alliance's default queue is left. What cannot be read is queued as a call that cannot wait."""
    return alliance.queue_for(force, line_of(heard, alliance), heard.channel or "telephone", heard.emergency)


def _cannot_wait(heard: Heard, alliance: Alliance) -> bool:
    return cannot_wait(line_of(heard, alliance), heard.channel or "telephone", heard.emergency)


def incident_force(heard: Heard) -> str | None:
    """Who owns the place where it happened, inside the alliance or not."""
    if heard.incident is None or not heard.incident.candidates:
        return None
    return heard.incident.candidates[0].force
