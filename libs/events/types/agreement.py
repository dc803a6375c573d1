"""Facts about the agreement that an alliance rests on (Police Act 1996, section 22A). They belong to the directory
(directory.py), whose topic and rules are theirs."""

from datetime import date
from typing import ClassVar, Literal

from libs.events.types.base import Fact, Part

TOPIC = "hueandcry.directory"


class Figure(Part, frozen=True, kw_only=True):
    force: str
    amount: float
    """A share from 0 to 1 where the shares are fixed; else the force's budget, or its demand, in the basis' unit."""


class AgreedService(Part, frozen=True, kw_only=True):
    id: str
    name: str
    shared_by: Literal["fixed", "budget", "demand"]
    """How its cost is shared: by fixed shares, in proportion to the forces' budgets, or to what each asked of it."""
    basis: str
    """Which budget or demand, of when, in which unit, and where the figures come from."""
    figures: tuple[Figure, ...]
    """Of every party, once."""
    data_controllers: tuple[str, ...]
    """The forces that decide jointly why and how its personal data is processed (UK GDPR, article 26)."""
    host: str | None = None
    """The force that runs it, where that is not the agreement's host."""


class AgreementMade(Fact, frozen=True, kw_only=True):
    """A version of the agreement. It holds from its first day to its last, in London; without a last day, until the
    next version's first. Stream and key: `agreement/<id>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.agreement-made.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    """The version's own: `2026-1`."""
    title: str
    under: str = "Police Act 1996, section 22A"
    signed_on: date
    first_day: date
    last_day: date | None = None
    parties: tuple[str, ...]
    """The forces."""
    host: str
    """The force that employs and contracts for all."""
    services: tuple[AgreedService, ...]
    document: str | None = None
    """Where the signed text is kept: a URL, or a reference."""


FACTS: tuple[type[Fact], ...] = (AgreementMade,)
