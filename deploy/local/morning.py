"""A short morning: what people in an alliance report, on every channel, to every member force, close to its borders.

Made for any alliance from its file and from places found in the shipped postcodes; nothing about a named force is here.
Telephone numbers are Ofcom's for drama.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from deploy.local.places import ForcePlaces, Place
from services.directory.alliance_file import AllianceFile


@dataclass(frozen=True, slots=True)
class Call:
    """One contact to post: the channel it comes on, its body, and what is told of it in the table."""

    channel: str
    by: str
    """As `999`, `101`, `web`, `chat`."""
    story: str
    where: str
    presented: str | None
    body: dict[str, Any]


def contacts(alliance: AllianceFile, places: dict[str, ForcePlaces]) -> list[Call]:
    """About thirty contacts, mixed as they come."""
    forces = [force.id for force in alliance.forces]
    made: list[Call] = []
    numbers = (f"+447700900{number:03d}" for number in cycle(range(100, 1000)))
    for at, force in enumerate(forces[:6]):
        made.append(_call("101", "wants to know the front counter's hours", force, next(numbers)))
        if any(places[force]):
            made += _of_a_force(force, forces[(at + 1) % len(forces)], places[force], forces, numbers)
    made += _of_nobody(forces, numbers)
    for force in [force for force in forces if any(places[force])][:1]:
        made += _in_silence(force, _inside(places[force])[-1], numbers)
    return made[::3] + made[1::3] + made[2::3]


def _of_a_force(
    force: str, another: str, places: ForcePlaces, members: list[str], numbers: Iterator[str]
) -> Iterator[Call]:
    inside = cycle(_inside(places))
    place = next(inside)
    yield _call("999", "two men are fighting outside a shop", force, next(numbers), place, _circle(place, 25))
    place = next(inside)
    story = "a car has hit a lamp post; the network chose another force"
    if another != force:
        yield _call("999", story, another, next(numbers), place, _circle(place, 12))
    for near in _members_first(places.near, members)[:1]:
        yield _call("101", "a quad bike is on the fields", force, next(numbers), near, _circle(near, 15))
    for border in _members_first(places.border, members)[:1]:
        presented = border.next_force if border.next_force in members else force
        story = f"smoke from a barn, yards from {border.next_force}"
        yield _call("999", story, presented, next(numbers), border, _circle(border, 60))
    place = next(inside)
    mast = {"kind": "arc-band", "lat": place.lat, "lon": place.lon, "innerRadiusM": 200.0, "outerRadiusM": 1500.0}
    mast |= {"startAngleDeg": 30.0, "openingAngleDeg": 120.0}
    story = "a call that breaks off; only the mast is known"
    yield _call("999", story, force, next(numbers), place, mast, "network-cell")
    place = next(inside)
    yield Call(
        "web",
        "web",
        "a bicycle was taken from a shed",
        place.postcode,
        force,
        {
            "presentedForce": force,
            "category": "theft",
            "words": "My bicycle was taken from the shed last night. The lock was cut.",
            "name": "A Resident",
            "email": "resident@example.org",
            "locations": [_location("incident", "caller", {"kind": "postcode", "postcode": place.postcode})],
        },
    )
    place = next(inside)
    medium = {0: "chat", 1: "app", 2: "social"}[members.index(force) % 3]
    yield Call(
        "online",
        medium,
        "somebody keeps knocking at the door",
        place.postcode,
        force,
        {
            "medium": medium,
            "presentedForce": force,
            "words": "Somebody keeps knocking at my door and going away again.",
            "handle": "neighbour42",
            "locations": [_location("caller", "device", _circle(place, 40))],
        },
    )


def _of_nobody(forces: list[str], numbers: Iterator[str]) -> Iterator[Call]:
    yield _call("999", "nothing is known: no trunk, no place", None, next(numbers))
    yield Call(
        "web",
        "web",
        "anonymous, and where it happened is not said",
        "–",
        None,
        {"anonymous": True, "category": "drugs", "words": "They deal from a grey van on Fridays."},
    )
    if "metropolitan" not in forces:
        westminster = Place(51.5007, -0.1246, "SW1A 0AA", "", 0.0)
        story = "rings from Westminster, outside the alliance"
        yield _call("101", story, forces[-1], next(numbers), westminster, _circle(westminster, 20))


def _in_silence(force: str, place: Place, numbers: Iterator[str]) -> Iterator[Call]:
    yield Call(
        "telephone",
        "999",
        "a silent call; 55 was pressed",
        place.postcode,
        force,
        {
            "line": "999",
            "silent": True,
            "presentedForce": force,
            "callingNumber": next(numbers),
            "locations": [_location("caller", "aml", _circle(place, 30))],
        },
    )
    yield Call(
        "online",
        "sms",
        "a text to 999: cannot speak",
        place.postcode,
        force,
        {
            "medium": "sms",
            "line": "999",
            "presentedForce": force,
            "callingNumber": next(numbers),
            "words": "pls come he is outside i cant talk",
            "safeContact": "by text only",
            "locations": [_location("caller", "aml", _circle(place, 20))],
        },
    )


def _inside(places: ForcePlaces) -> list[Place]:
    return places.inside or places.near or places.border


def _call(
    line: str,
    story: str,
    presented: str | None,
    number: str,
    place: Place | None = None,
    shape: dict[str, Any] | None = None,
    source: str = "aml",
) -> Call:
    body: dict[str, Any] = {"line": line, "callingNumber": number}
    if presented is not None:
        body["presentedForce"] = presented
    if shape is not None:
        body["locations"] = [_location("caller", source, shape)]
    return Call("telephone", line, story, place.postcode if place else "–", presented, body)


def _location(of: str, source: str, shape: dict[str, Any]) -> dict[str, Any]:
    return {"of": of, "source": source, "shape": shape}


def _circle(place: Place, radius_m: float) -> dict[str, Any]:
    return {"kind": "circle", "lat": place.lat, "lon": place.lon, "radiusM": float(radius_m)}


def _members_first(places: list[Place], members: list[str]) -> list[Place]:
    return sorted(places, key=lambda place: place.next_force not in members)
