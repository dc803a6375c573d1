"""Facts about who looked at whose data, and why. The force in the envelope is the one whose data it is.

Nothing here says who a caller is: things are named by their ids, searches by the kinds of their words. Readers are
staff and systems, by their tokens' subjects. What a reader wrote of his reasons is `personal`: it may name anybody.
"""

from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from libs.events.types.base import Fact, Part

TOPIC = "hueandcry.access"

Act: TypeAlias = Literal[
    "read",  # personal data was shown
    "search",  # it was looked for
    "collection",  # it was got from elsewhere: a subscriber's address
    "disclosure",  # it was given to somebody: a feed, a webhook, an export
    "combination",  # it was joined with other data: a contact with an incident
    "audit",  # the audit itself was read
]
Kind: TypeAlias = Literal["contact", "incident", "subscriber", "history", "accesses", "break-glass"]
Purpose: TypeAlias = Literal[
    "enquiry",  # a caller or victim asks about their own
    "supervision",
    "quality",
    "recording",  # to record or classify it rightly
    "investigation",
    "safeguarding",
    "complaint",
    "subject-access",
    "inspection",
]
"""For what a record is opened that is not in the reader's hands."""
Emergency: TypeAlias = Literal["life-at-risk", "child-at-risk", "missing-person", "officer-safety", "public-safety"]
"""Why another force's record is opened without a tie to it."""
Finding: TypeAlias = Literal["justified", "not-justified"]


class Access(Part, frozen=True, kw_only=True):
    """One operation of one reader on the data of one force."""

    id: str
    """A UUIDv7; the same in each force's event, where one answer shows the data of several."""
    at: datetime
    reader: str
    """The token's subject."""
    roles: tuple[str, ...] = ()
    home_force: str | None = None
    """The reader's own force."""
    act: Act
    operation: str
    """As the OpenAPI document names it."""
    kind: Kind
    ids: tuple[str, ...] = ()
    """Of what was shown; of a search, of what it found."""
    searched_by: tuple[str, ...] = ()
    """By what kinds of words it was looked for, never the words."""
    recipient: str | None = None
    """To whom it was disclosed, where that is not the reader."""
    in_hand: str | None = None
    """The contact in the reader's hands for which this was done."""
    purpose: Purpose | None = None
    break_glass: Emergency | None = None
    """The reader had no other tie to it: a supervisor of the force reviews this the next day."""


class AccessPersonal(Part, frozen=True, kw_only=True):
    words: str
    """What the reader wrote of the reason."""


class DataAccessed(Fact, frozen=True, kw_only=True):
    """Data of one force was about to be shown, given or joined: this was kept before the answer went out.

    Accesses at one moment share an event. One with words of its own has an event and a stream of its own.
    """

    TYPE: ClassVar[str] = "uk.hueandcry.access.data-accessed.v1"
    TOPIC: ClassVar[str] = TOPIC

    accesses: tuple[Access, ...]
    personal: AccessPersonal | None = None


class ReviewPersonal(Part, frozen=True, kw_only=True):
    words: str


class BreakGlassReviewed(Fact, frozen=True, kw_only=True):
    """A supervisor of the force whose record was opened has looked at why."""

    TYPE: ClassVar[str] = "uk.hueandcry.access.break-glass-reviewed.v1"
    TOPIC: ClassVar[str] = TOPIC

    access: str
    """The access's id."""
    by: str
    finding: Finding
    personal: ReviewPersonal | None = None


FACTS: tuple[type[Fact], ...] = (DataAccessed, BreakGlassReviewed)
