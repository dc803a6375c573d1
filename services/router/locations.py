"""From the places in intake's facts to the forces they may lie in. After this the router no longer knows where."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from libs.alliance import Alliance
from libs.events.types import Fact
from libs.events.types.contacts import ContactLocated, ContactReceived, ContactRectified, Location
from libs.events.types.routing import Candidate
from libs.events.types.shapes import Civic, Postcode, Shape
from libs.places import UnusableShape, postcodes
from services.router.contact import Placed


async def prepare(facts: Iterable[Fact]) -> None:
    """Have the postcodes at hand that `resolve` will ask for.

    Their directory is read by first letter, when one is first met; that takes some tenths of a second, so not here.
    """
    typed = (
        shape.postcode
        for fact in facts
        for _, shape in _shapes(fact)
        if isinstance(shape, Postcode | Civic) and shape.postcode is not None
    )
    letters = {code[0] for code in map(postcodes.normalise, typed) if code}
    if letters:
        await asyncio.to_thread(postcodes.preload, letters)


def resolve(fact: Fact, alliance: Alliance) -> dict[str, Placed]:
    """What the fact's locations resolve to, by location id; one without a usable place is left out."""
    placed = {}
    for location, shape in _shapes(fact):
        if shape is None or alliance.atlas is None:
            continue
        with suppress(UnusableShape):
            located = alliance.atlas.locate(shape, location.certainty_percent)
            if located is not None:
                placed[location.id] = Placed(
                    location_id=location.id,
                    candidates=tuple(
                        Candidate(force=c.force, share=c.share, likelihood=c.likelihood) for c in located.candidates
                    ),
                    too_close=located.too_close,
                    border_m=located.border_m,
                    generation=alliance.generation,
                )
    return placed


def _shapes(fact: Fact) -> list[tuple[Location, Shape | None]]:
    match fact:
        case ContactReceived():
            shapes = fact.personal.shapes if fact.personal else {}
            return [(location, shapes.get(location.id)) for location in fact.locations]
        case ContactLocated():
            return [(fact.location, fact.personal.shape if fact.personal else None)]
        case ContactRectified(location=Location() as location):
            return [(location, fact.personal.shape if fact.personal else None)]
    return []
