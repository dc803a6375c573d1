"""An alliance as far as it is known: forces, sites, queues, lines, policies and boundaries. Pure; no I/O.

Invariant: an `Alliance` never changes. `evolve` makes the next one, so whoever holds one decides from one moment's
picture. Facts of different entities may come in any order (a queue before its force); each entity's own come in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from libs.events.types import Fact
from libs.events.types.agreement import AgreementMade
from libs.events.types.contacts import Channel, Line
from libs.events.types.directory import (
    AllianceDefined,
    AreaChunkPublished,
    BoundariesActivated,
    EntityWithdrawn,
    ForceDefined,
    LineDefined,
    NeighbourhoodsActivated,
    OverlayActivated,
    PolicyStored,
    PolicyWithdrawn,
    QueueDefined,
    SiteDefined,
)
from libs.events.types.manner import CrimeReferenceDefined, GreetingDefined, HolidaysDefined, HoursDefined

if TYPE_CHECKING:
    from libs.places import Atlas


def cannot_wait(line: Line | None, channel: Channel, emergency: bool) -> bool:
    """What is said to be an emergency, what comes on 999, and a call on a line that nobody can name: waiting too long
    costs more than answering too soon."""
    return emergency or line == "999" or (channel == "telephone" and line is None)


@dataclass(frozen=True)
class Alliance:
    defined: AllianceDefined | None = None
    """None: no alliance is known yet."""
    forces: Mapping[str, ForceDefined] = field(default_factory=dict)
    """Members and neighbours, by id."""
    sites: Mapping[str, SiteDefined] = field(default_factory=dict)
    queues: Mapping[str, QueueDefined] = field(default_factory=dict)
    lines: Mapping[str, LineDefined] = field(default_factory=dict)
    policies: Mapping[str, PolicyStored] = field(default_factory=dict)
    """As they were stored, by id; some may have expired since."""
    boundaries: BoundariesActivated | None = None
    """The generation that the directory announced last."""
    atlas: Atlas | None = None
    """The generation in use: an earlier one, or none, until every area of the announced one is here."""
    neighbourhoods: Mapping[str, NeighbourhoodsActivated] = field(default_factory=dict)
    """The areas inside each force, by force, as they were announced last."""
    overlays: Mapping[str, OverlayActivated] = field(default_factory=dict)
    """What suggests a force and decides nothing, by id."""
    hours: Mapping[str, HoursDefined] = field(default_factory=dict)
    holidays: Mapping[str, HolidaysDefined] = field(default_factory=dict)
    greetings: Mapping[str, GreetingDefined] = field(default_factory=dict)
    crime_references: Mapping[str, CrimeReferenceDefined] = field(default_factory=dict)
    """By force."""
    agreements: Mapping[str, AgreementMade] = field(default_factory=dict)
    """Every version of the agreement; `libs.alliance.agreement` says which is in force."""
    position: int = 0
    """How many directory events this picture has seen."""

    @property
    def generation(self) -> str | None:
        """The boundaries in use."""
        return None if self.atlas is None else self.atlas.generation

    @property
    def default_queue(self) -> QueueDefined | None:
        """The queue of last resort. None: no alliance is known, or its default queue is not known yet."""
        return None if self.defined is None else self.queues.get(self.defined.default_queue)

    @property
    def members(self) -> list[ForceDefined]:
        return [force for force in self.forces.values() if force.member]

    def is_member(self, force: str | None) -> bool:
        known = self.forces.get(force) if force is not None else None
        return known is not None and known.member

    def line_of(self, *, trunk: str | None = None, dialled_number: str | None = None) -> LineDefined | None:
        """The line that a call came in on. The trunk says more than the number, which the network may translate."""
        if trunk is not None and (line := self._lines_by_trunk.get(trunk)) is not None:
            return line
        return None if dialled_number is None else self._lines_by_number.get(dialled_number)

    def force_of_trunk(self, trunk: str) -> str | None:
        line = self._lines_by_trunk.get(trunk)
        return None if line is None else line.force

    def force_of_number(self, dialled_number: str) -> str | None:
        """`dialled_number` is E.164."""
        line = self._lines_by_number.get(dialled_number)
        return None if line is None else line.force

    def queue_for(
        self, force: str | None, line: Line | None, channel: Channel, emergency: bool = False
    ) -> QueueDefined | None:
        """The force's queue for a contact; None: it has none, and the alliance's default queue is left.

        What cannot wait goes to a queue that takes emergencies, whatever channel or line it came on: a text to 999 as
        much as a call. Of several queues that would do, the one made for this line and channel comes first, then the
        more urgent, then by id.
        """
        if force is None:
            return None
        urgent = cannot_wait(line, channel, emergency)
        if channel == "telephone" and line is None:
            line = "999"

        def takes(queue: QueueDefined) -> bool:
            return (urgent and queue.emergency) or (
                (queue.line is None or queue.line == line) and (not queue.channels or channel in queue.channels)
            )

        def rank(queue: QueueDefined) -> tuple[bool, bool, bool, int, str]:
            return (
                urgent and not queue.emergency and queue.line != "999",
                queue.line != line,
                channel not in queue.channels,
                queue.priority,
                queue.id,
            )

        return min(filter(takes, self._queues_by_force.get(force, ())), key=rank, default=None)

    @cached_property
    def _queues_by_force(self) -> dict[str, list[QueueDefined]]:
        by_force: dict[str, list[QueueDefined]] = {}
        for queue in self.queues.values():
            if queue.force is not None:
                by_force.setdefault(queue.force, []).append(queue)
        return by_force

    @cached_property
    def _lines_by_trunk(self) -> dict[str, LineDefined]:
        return {line.trunk: line for line in self.lines.values() if line.trunk is not None}

    @cached_property
    def _lines_by_number(self) -> dict[str, LineDefined]:
        return {line.dialled_number: line for line in self.lines.values() if line.dialled_number is not None}


NOTHING_KNOWN = Alliance()

_TABLES: dict[str, str] = {
    "force": "forces",
    "site": "sites",
    "queue": "queues",
    "line": "lines",
    "overlay": "overlays",
    "hours": "hours",
    "holidays": "holidays",
    "greeting": "greetings",
    "crime-reference": "crime_references",
    "agreement": "agreements",
}


def evolve(alliance: Alliance, fact: Fact | None) -> Alliance:
    """The picture after one more event of the directory.

    None stands for a fact whose type this copy does not know: a newer directory wrote it. That and any other fact that
    says nothing here is counted and changes nothing else. Area chunks travel on a topic of their own and do not count.
    """
    if isinstance(fact, AreaChunkPublished):
        return alliance
    return replace(alliance, position=alliance.position + 1, **_changes(alliance, fact))


def _changes(alliance: Alliance, fact: Fact | None) -> dict[str, Any]:
    match fact:
        case AllianceDefined():
            return {"defined": fact}
        case ForceDefined():
            return {"forces": {**alliance.forces, fact.id: fact}}
        case SiteDefined():
            return {"sites": {**alliance.sites, fact.id: fact}}
        case QueueDefined():
            return {"queues": {**alliance.queues, fact.id: fact}}
        case LineDefined():
            return {"lines": {**alliance.lines, fact.id: fact}}
        case PolicyStored():
            return {"policies": {**alliance.policies, fact.id: fact}}
        case PolicyWithdrawn():
            return {"policies": {key: policy for key, policy in alliance.policies.items() if key != fact.id}}
        case BoundariesActivated():
            return {"boundaries": fact}
        case NeighbourhoodsActivated():
            return {"neighbourhoods": {**alliance.neighbourhoods, fact.force: fact}}
        case OverlayActivated():
            return {"overlays": {**alliance.overlays, fact.id: fact}}
        case HoursDefined():
            return {"hours": {**alliance.hours, fact.id: fact}}
        case HolidaysDefined():
            return {"holidays": {**alliance.holidays, fact.id: fact}}
        case GreetingDefined():
            return {"greetings": {**alliance.greetings, fact.id: fact}}
        case CrimeReferenceDefined():
            return {"crime_references": {**alliance.crime_references, fact.force: fact}}
        case AgreementMade():
            return {"agreements": {**alliance.agreements, fact.id: fact}}
        case EntityWithdrawn():
            return _without(alliance, fact.entity)
        case _:
            return {}


def _without(alliance: Alliance, entity: str) -> dict[str, Any]:
    kind, _, name = entity.partition("/")
    if kind == "alliance" and alliance.defined is not None and alliance.defined.id == name:
        return {"defined": None}
    table = _TABLES.get(kind)
    if table is None:
        return {}
    return {table: {key: value for key, value in getattr(alliance, table).items() if key != name}}
