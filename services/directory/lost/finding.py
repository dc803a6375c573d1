"""Which mappings a place and a service have (RFC 5222, sections 5 and 8). Pure but for the postcodes' files.

Invariants
  * The first mapping is whom the router would give a call from there to: the owning force's 999 queue, or the
    alliance's default queue where the force has none here.
  * A mapping may be kept by the client only where nothing about it is uncertain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as Table
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from libs.alliance import Alliance
from libs.events.types.directory import QueueDefined
from libs.events.types.shapes import Civic, Postcode
from libs.places import Located, postcodes
from libs.places.outline import outline
from libs.places.pidf import BRITISH, Address
from services.directory.boundaries import SUBJECT
from services.directory.generation import InForce
from services.directory.lost.boundary import area_of
from services.directory.lost.refusal import Refusal
from services.directory.lost.request import FindService, Location
from services.directory.lost.services import resolve

KEEP = timedelta(hours=1)
"""How long a client may keep a mapping: what changes at noon is nobody's answer at one."""
MAX_MAPPINGS = 10
_HOST = re.compile(r"@((?:[a-zA-Z0-9-]+\.)+[a-zA-Z0-9]+)")


@dataclass(frozen=True)
class Ground:
    """All that an answer is made of: one moment's picture. `asOf` a moment of the past, that moment's."""

    alliance: Alliance
    live: InForce
    changed: Table[str, datetime]
    """When each entity was last said anew, by subject."""
    now: datetime

    @property
    def source(self) -> str:
        """This server's name (section 5.1): the domain of the alliance's own queue."""
        queue = self.alliance.default_queue
        found = _HOST.search(queue.uri) if queue else None
        if found:
            return found[1]
        assert self.alliance.defined is not None
        return f"{self.alliance.defined.id}.invalid"


class MappingFound(NamedTuple):
    force: str | None
    """None: the alliance's default."""
    name: str
    service: str
    uri: str
    source_id: str
    """Of this mapping, through all its changes; `last_updated` tells them apart."""
    last_updated: datetime
    expires: datetime | None
    """None: not to be kept."""


class Warned(NamedTuple):
    kind: str
    message: str


class Checked(NamedTuple):
    """Section 8.4.2: the names of an address's elements, in its namespace."""

    namespace: str
    valid: tuple[str, ...]
    invalid: tuple[str, ...]
    unchecked: tuple[str, ...]


class Found(NamedTuple):
    mappings: tuple[MappingFound, ...]
    warnings: tuple[Warned, ...]
    checked: Checked | None
    used: Location
    generation: InForce


def atlas_at(ground: Ground, instant: datetime | None) -> InForce:
    """The generation of boundaries that rules at an instant, or now; of what comes, what is known today.

    Raises Refusal for a time before it: no boundaries, or no alliance, ruled here then.
    """
    if instant is not None and instant < ground.live.since:
        raise Refusal("notFound", "At that time no boundaries were in force here yet.")
    return ground.live


def find(request: FindService, ground: Ground) -> Found:
    """Raises Refusal."""
    service = resolve(request.service)
    generation = atlas_at(ground, request.as_of)
    used, located = place(request.locations, generation)
    forces = _forces(ground, located)
    uncertain = located is None or located.too_close or len(forces) > 1 or None in forces
    keep = not uncertain and request.as_of is None and service == request.service.lower()
    mappings = tuple(
        _mapping(ground, generation, force, service, ground.now + KEEP if keep else None) for force in forces
    )
    warnings = []
    if service != request.service.lower():
        warnings.append(Warned("serviceSubstitution", "The police answer for all parts of this service."))
    if None in forces:
        text = "No force of this alliance covers all of the place: its default queue answers for the rest."
        warnings.append(Warned("defaultMappingReturned", text))
    checked = check(used.address) if request.validate and used.address is not None else None
    return Found(mappings, tuple(warnings), checked, used, generation)


def place(locations: tuple[Location, ...], generation: InForce) -> tuple[Location, Located | None]:
    """The first location that lies in an area, else the first for which the default answers, and where it lies (None:
    in no area). Raises Refusal where there is none."""
    left = None
    for location in locations:
        located = None if _abroad(location.address) else generation.atlas.locate(location.shape)
        if located is not None and not located.outside:
            return location, located
        if left is None and _is_near(location):
            left = location
    if left is None:
        raise Refusal("notFound", "The place is not in England or Wales, nor near.")
    return left, None


def check(address: Address) -> Checked:
    """What of an address can be checked: its country, and whether there is such a postcode."""
    abroad = _abroad(address)
    valid: list[str] = []
    invalid: list[str] = []
    unchecked: list[str] = []
    for name in address.given:
        if name == "country" and not abroad:
            valid.append(name)
        elif name == "PC" and not abroad:
            (valid if postcodes.lookup(address.shape.postcode or "") else invalid).append(name)
        else:
            unchecked.append(name)
    return Checked(address.namespace, tuple(valid), tuple(invalid), tuple(unchecked))


def _abroad(address: Address | None) -> bool:
    return address is not None and address.country is not None and address.country not in BRITISH


def _is_near(location: Location) -> bool:
    """Whether the default answers for what lies in no area: it is in Britain, or around, as far as the British National
    Grid has a meaning. Nobody of ours can help in New York."""
    if isinstance(location.shape, (Civic, Postcode)):
        return not _abroad(location.address)
    return outline(location.shape) is not None


def _queue(ground: Ground, force: str | None) -> QueueDefined | None:
    if force is None:
        return ground.alliance.default_queue
    if not ground.alliance.is_member(force):
        return None
    return ground.alliance.queue_for(force, "999", "telephone", emergency=True)


def _forces(ground: Ground, located: Located | None) -> list[str | None]:
    """Whose mappings to give, the largest share first; None once for all that have no queue here."""
    if located is None:
        return [None]
    candidates = (candidate.force for candidate in located.candidates)
    served = (force if _queue(ground, force) is not None else None for force in candidates)
    return list(dict.fromkeys(served))[:MAX_MAPPINGS]


def _mapping(
    ground: Ground, generation: InForce, force: str | None, service: str, expires: datetime | None
) -> MappingFound:
    queue = _queue(ground, force)
    alliance = ground.alliance.defined
    if queue is None or alliance is None:
        raise Refusal("notFound", "No queue of this alliance answers for the place.")
    owner = ground.alliance.forces[force] if force is not None else alliance
    subjects = (SUBJECT, f"queue/{queue.id}", f"{'force' if force else 'alliance'}/{owner.id}")
    changed = [ground.changed[subject] for subject in subjects[1:] if subject in ground.changed]
    return MappingFound(
        force=force if force is not None and area_of(generation, force) is not None else None,
        name=owner.name,
        service=service,
        uri=queue.uri,
        source_id=f"{force or 'default'}:{service}",
        last_updated=max([generation.since, *changed]),
        expires=expires,
    )
