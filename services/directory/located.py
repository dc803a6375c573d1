"""Whose a place is, as the directory answers it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from libs.alliance import Alliance
from libs.events.types.directory import OverlayKind
from libs.events.types.shapes import Postcode, Shape
from libs.places import Atlas, Located
from libs.places.asking import Landmark, centre_of, landmarks, question
from libs.places.grid import to_wgs84
from libs.service.bodies import Answer
from services.directory.stored import Picture


class CandidateAnswer(Answer):
    force: str
    name: str | None
    member: bool
    share: float = Field(ge=0, le=1)
    """Of the location's area; a point's is all on one side. 0: the location is only near."""
    likelihood: float = Field(ge=0, le=1)
    """How likely the place is this force's: its share of the location grown by `accuracyMetres` on all sides. They sum
    to 1."""


class LandmarkAnswer(Answer):
    force: str
    name: str
    """Of a town or village."""
    metres: float
    """From the location's centre."""


class CentreAnswer(Answer):
    lat: float
    lon: float


class NeighbourhoodAnswer(Answer):
    id: str
    name: str
    generation: str
    """Of the force's neighbourhoods."""


class SuggestionAnswer(Answer):
    force: str
    kind: OverlayKind
    name: str
    """Of the place: a station, an airport."""
    metres: float
    """From the location's centre; 0 within the place."""
    overlay: str
    generation: str
    """Of the overlay."""


class LocatedAnswer(Answer):
    owning_force: str | None
    """The candidate with the largest share; null outside of every area."""
    member: bool
    """The owning force is a party to this alliance."""
    candidates: list[CandidateAnswer]
    """The largest share first. Shares sum to less than 1 where the location lies partly outside of every area."""
    border_metres: float | None
    """From the location's centre to the nearest border between two forces."""
    confidence: float = Field(ge=0, le=1)
    """That the place is the owning force's: c · L + (1 − c) · W. c is how certain the source is of the shape (0.95
    where it does not say), L the owning force's likelihood, W the same for a circle that reaches three times as far."""
    ask: bool
    """It is too close to say: ask the caller. The centre is nearer to a border than `accuracyMetres`, or another
    candidate has a likelihood of 0.05 or more, or the confidence is below 0.9."""
    question: str | None
    """In words: "Are you nearer Royston or Bassingbourn?" Null where nothing is to be asked, or no names are known."""
    nearer: list[LandmarkAnswer]
    """What to ask about: for each candidate the nearest town or village that is clearly its own."""
    neighbourhood: NeighbourhoodAnswer | None
    """The area inside the owning force at the location's centre, where the force's neighbourhoods are loaded. Null for
    a moment of the past: of neighbourhoods the present ones are known."""
    suggestions: list[SuggestionAnswer]
    """Whom else to think of, the nearest first: the railway's force at a station. They decide nothing:
    neither the answer above nor any routing reads them. None for a moment of the past."""
    outside: bool
    """In no force's area."""
    centre: CentreAnswer | None
    """Of the location, WGS 84 degrees; null for one that is not on the British National Grid."""
    generation: str
    """The boundaries that answered."""
    accuracy_metres: float
    """How far from a drawn border the truth may lie."""


def answer(
    picture: Picture, atlas: Atlas, shape: Shape, found: Located, moment: datetime | None = None
) -> LocatedAnswer:
    """`found` is what the atlas says of the shape; `moment`: as it was then, with the atlas of then."""
    alliance = picture.current if moment is None else picture.told.at(moment)
    now = moment is None
    candidates = [_candidate(alliance, *candidate) for candidate in found.candidates]
    first = candidates[0] if candidates else None
    asked = _landmarks(atlas, shape, found)
    return LocatedAnswer(
        owning_force=first.force if first else None,
        member=first.member if first else False,
        candidates=candidates,
        border_metres=found.border_m,
        confidence=found.confidence,
        ask=found.too_close,
        question=question(landmark.name for landmark in asked),
        nearer=[LandmarkAnswer(force=one.force, name=one.name, metres=round(one.distance_m)) for one in asked],
        neighbourhood=_neighbourhood(picture, shape, first.force if first and now else None),
        suggestions=_suggestions(picture, shape) if now else [],
        outside=found.outside,
        centre=_centre(shape, found),
        generation=atlas.generation,
        accuracy_metres=atlas.accuracy_m,
    )


def _candidate(alliance: Alliance, force: str, share: float, likelihood: float) -> CandidateAnswer:
    known = alliance.forces.get(force)
    return CandidateAnswer(
        force=force,
        name=None if known is None else known.name,
        member=alliance.is_member(force),
        share=share,
        likelihood=likelihood,
    )


def _centre(shape: Shape, found: Located) -> CentreAnswer | None:
    if isinstance(shape, Postcode) and found.outside:  # Northern Ireland's are on another grid
        return None
    centre = centre_of(shape)
    if centre is None:
        return None
    lat, lon = to_wgs84(*centre)
    return CentreAnswer(lat=round(lat, 6), lon=round(lon, 6))


def _landmarks(atlas: Atlas, shape: Shape, found: Located) -> tuple[Landmark, ...]:
    centre = centre_of(shape) if found.too_close and len(found.candidates) > 1 else None
    return () if centre is None else landmarks(atlas, *centre, (candidate.force for candidate in found.candidates))


def _neighbourhood(picture: Picture, shape: Shape, force: str | None) -> NeighbourhoodAnswer | None:
    known = picture.neighbourhoods(force)
    centre = centre_of(shape) if known is not None else None
    if known is None or centre is None or (one := known.at(*centre)) is None:
        return None
    return NeighbourhoodAnswer(id=one.id, name=one.name, generation=known.generation)


def _suggestions(picture: Picture, shape: Shape) -> list[SuggestionAnswer]:
    overlays = list(picture.overlays.values())
    if not overlays or (centre := centre_of(shape)) is None:
        return []
    found = []
    for activated, overlay in overlays:
        if overlay is not None and (near := overlay.near(*centre)) is not None:
            feature = activated.features[near.feature]
            found.append(
                SuggestionAnswer(
                    force=feature.force,
                    kind=activated.kind,
                    name=feature.name,
                    metres=round(near.metres),
                    overlay=activated.id,
                    generation=activated.generation,
                )
            )
    return sorted(found, key=lambda one: (one.metres, one.overlay))
