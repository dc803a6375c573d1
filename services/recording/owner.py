"""Who owns an incident: the force where it happened, as well as we know it.

The caller's place decides about the contact, never about the incident (DOMAIN.md, "Owning force").
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

OwnedBecause: TypeAlias = Literal["incident-location", "handler", "contact-owner"]


class Share(Protocol):
    @property
    def force(self) -> str: ...


class Located(Protocol):
    """What `libs.places` says of a place, as far as it matters here; candidates have the largest share first."""

    @property
    def candidates(self) -> tuple[Share, ...]: ...
    @property
    def too_close(self) -> bool: ...


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    force: str | None
    """None: the alliance's, until someone says."""
    because: OwnedBecause
    provisional: bool


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the router said of the contact."""

    incident_force: str | None = None
    """The owner of the place of its latest `incident` location."""
    owning_force: str | None = None
    provisional: bool = False


def owner_of(place: Located | None, known: Known, named: str | None, *, unplaced: bool = False) -> Owner:
    """The first of these that says something:

    1. the place given with the disposition. Too close to a border to say: the force that the handler names, if it is
       one of the candidates; else, provisionally, the contact's owner if that is one, else the largest share;
    2. the contact's own `incident` location, as the router placed it;
    3. the force that the handler names;
    4. the contact's owning force, provisional as that is; without one, the alliance's.

    `unplaced`: a place was given that nobody can place (an unknown postcode, outside every area, no boundaries known
    yet). Then 2 and 4 are provisional. The force where it happened owns the incident whether or not it is a party to
    the alliance.
    """
    if place is not None and place.candidates:
        candidates = [candidate.force for candidate in place.candidates]
        if not place.too_close:
            return Owner(force=candidates[0], because="incident-location", provisional=False)
        if named in candidates:
            return Owner(force=named, because="handler", provisional=False)
        nearest = known.owning_force if known.owning_force in candidates else candidates[0]
        return Owner(force=nearest, because="incident-location", provisional=True)
    if known.incident_force is not None:
        return Owner(force=known.incident_force, because="incident-location", provisional=unplaced)
    if named is not None:
        return Owner(force=named, because="handler", provisional=False)
    return Owner(
        force=known.owning_force,
        because="contact-owner",
        provisional=known.provisional or known.owning_force is None or unplaced,
    )
