"""What the directory's API says, as documents."""

from __future__ import annotations

from typing import Literal

from libs.events.types.contacts import Channel, Line
from libs.events.types.directory import ForceKind
from libs.service.bodies import Answer


class AllianceAnswer(Answer):
    id: str
    name: str
    default_queue: str
    """The queue of last resort, by its id."""
    members: list[str]
    """The forces that are party to it, by their ids."""
    generation: str | None
    """The boundaries in use; of the past, those that were announced."""
    position: int
    """How many changes this picture has seen: of two answers the higher is the later."""


class ReachAnswer(Answer):
    by: Literal["telephone", "text", "web"]
    to: str
    """A number as people dial it, or an https URL."""
    purpose: Literal["emergency", "non-emergency", "information"]
    source: str
    """Where it is published."""


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
    kind: ForceKind
    """Only a territorial force of England and Wales owns places here."""
    reach: list[ReachAnswer]
    """How the public reaches it."""


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
