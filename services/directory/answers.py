"""What the directory's API says, as documents."""

from __future__ import annotations

from pydantic import Field

from libs.alliance import Alliance
from libs.events.types.contacts import Channel, Line
from libs.places import Located
from libs.service.bodies import Answer


class AllianceAnswer(Answer):
    id: str
    name: str
    default_queue: str
    """The queue of last resort, by its id."""
    members: list[str]
    """The forces that are party to it, by their ids."""
    generation: str | None
    """The boundaries in use."""
    position: int
    """How many changes this picture has seen: of two answers the higher is the later."""


class ForceAnswer(Answer):
    id: str
    name: str
    ons_code: str | None
    """The Office for National Statistics' code."""
    pnc_code: str | None
    """The Police National Computer's code."""
    member: bool
    """A party to this alliance, or a neighbour that is only known."""
    agency: str | None
    """The domain name by which NENA i3 names it: the owner of its policies."""
    signed_policies: bool
    """It takes only policies that it has signed."""


class SiteAnswer(Answer):
    id: str
    name: str


class QueueAnswer(Answer):
    id: str
    name: str
    uri: str
    """NENA i3 queueUri."""
    force: str | None
    """Null: the alliance's own."""
    line: Line | None
    channels: list[Channel]
    """What it takes; empty: everything."""
    emergency: bool
    """It also takes what cannot wait from other lines and channels."""
    priority: int
    """Of its contacts; 1 is first."""
    max_length: int
    """NENA i3 queueMaxLength: over it the queue's state is Full; nothing is refused."""


class LineAnswer(Answer):
    id: str
    line: Line
    force: str
    """Whom a call on it is presented to."""
    trunk: str | None
    dialled_number: str | None
    """E.164."""


class AreaAnswer(Answer):
    force: str
    hashes: list[str]
    """SHA-256 of each piece, in order, as published on `hueandcry.areas`."""


class BoundariesAnswer(Answer):
    generation: str
    attribution: str
    """Whose areas they are, as their licence asks it to be said."""
    accuracy_metres: float
    """Nearer to a border than this is too close to say."""
    in_use: bool
    """False while this copy is still reading the areas."""
    areas: list[AreaAnswer]


class CandidateAnswer(Answer):
    force: str
    name: str | None
    member: bool
    share: float = Field(ge=0, le=1)
    """Of the location's area."""


class LocatedAnswer(Answer):
    owning_force: str | None
    """The candidate with the largest share; null outside of every area."""
    member: bool
    """The owning force is a party to this alliance."""
    candidates: list[CandidateAnswer]
    """The largest share first. Shares sum to less than 1 where the location lies partly outside of every area."""
    border_metres: float | None
    """From the location's centre to the nearest border between two forces."""
    too_close: bool
    """Ask: the place is nearer to a border than the boundaries are accurate, or a good part of it lies beyond one."""
    outside: bool
    """In no force's area."""
    generation: str
    """The boundaries that answered."""
    accuracy_metres: float
    """How far from a drawn border the truth may lie."""


def located(alliance: Alliance, generation: str, accuracy_m: float, found: Located) -> LocatedAnswer:
    candidates = [
        CandidateAnswer(
            force=candidate.force,
            name=known.name if (known := alliance.forces.get(candidate.force)) else None,
            member=alliance.is_member(candidate.force),
            share=candidate.share,
        )
        for candidate in found.candidates
    ]
    first = candidates[0] if candidates else None
    return LocatedAnswer(
        owning_force=first.force if first else None,
        member=first.member if first else False,
        candidates=candidates,
        border_metres=found.border_m,
        too_close=found.too_close,
        outside=found.outside,
        generation=generation,
        accuracy_metres=accuracy_m,
    )
