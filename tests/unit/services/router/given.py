"""What the router's tests start from: a small alliance, and contacts as intake tells of them."""

from datetime import UTC, datetime, timedelta

import msgspec

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.events.types import Fact
from libs.events.types.contacts import Channel, ContactReceived, Line, Location, LocationOf, Medium
from libs.events.types.directory import AllianceDefined, ForceDefined, LineDefined, QueueDefined
from libs.events.types.routing import Candidate
from services.router.contact import Heard, Placed, hear

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MEMBERS = ("bedfordshire", "cambridgeshire", "hertfordshire")
MEDIA: dict[str, Medium] = {"telephone": "voice", "web": "form", "online": "chat"}


def queues_of(force: str) -> list[QueueDefined]:
    def queue(
        name: str, priority: int, line: Line | None = None, channel: Channel = "telephone", emergency: bool = False
    ) -> QueueDefined:
        return QueueDefined(
            id=f"{force}-{name}",
            name=f"{force} {name}",
            uri=f"sip:{force}-{name}@alliance.example",
            force=force,
            line=line,
            channels=(channel,),
            emergency=emergency,
            priority=priority,
        )

    return [
        queue("999", 1, line="999", emergency=True),
        queue("101", 5, line="101"),
        queue("web", 7, channel="web"),
        queue("online", 4, channel="online"),
    ]


DIRECTORY: list[Fact] = [
    AllianceDefined(id="three", name="Three forces", default_queue="alliance-default"),
    QueueDefined(id="alliance-default", name="Default", uri="sip:default@alliance.example", priority=2),
    *(ForceDefined(id=force, name=force.title()) for force in MEMBERS),
    ForceDefined(id="essex", name="Essex", member=False),
    *(queue for force in MEMBERS for queue in queues_of(force)),
    LineDefined(id="beds-999", line="999", force="bedfordshire", trunk="trunk-1", dialled_number="+441234000999"),
]


def alliance(*facts: Fact, without: tuple[str, ...] = ()) -> Alliance:
    known = NOTHING_KNOWN
    for fact in [*DIRECTORY, *facts]:
        if getattr(fact, "id", None) not in without:
            known = evolve(known, fact)
    return known


ALLIANCE = alliance()


def placed(location_id: str = "l1", *, too_close: bool = False, **shares: float) -> Placed:
    """A location in the forces named, by share; none: outside every area."""
    candidates = tuple(
        Candidate(force=force, share=share) for force, share in sorted(shares.items(), key=lambda pair: -pair[1])
    )
    return Placed(location_id=location_id, candidates=candidates, too_close=too_close, generation="g1", border_m=900.0)


def location(location_id: str = "l1", of: LocationOf = "caller") -> Location:
    return Location(id=location_id, of=of, source="aml")


def received(
    channel: Channel = "telephone",
    *,
    line: Line | None = None,
    presented: str | None = None,
    trunk: str | None = None,
    dialled: str | None = None,
    emergency: bool = False,
    locations: tuple[Location, ...] = (),
) -> ContactReceived:
    return ContactReceived(
        reference="K7M-4QX",
        channel=channel,
        medium=MEDIA[channel],
        line=line or ("999" if channel == "telephone" else None),
        presented_force=presented,
        trunk=trunk,
        dialled_number=dialled,
        presented_at=NOON - timedelta(seconds=4),
        gateway="gateway-1",
        emergency=emergency,
        locations=locations,
    )


def heard(
    fact: ContactReceived | None = None, *, caller: Placed | None = None, incident: Placed | None = None
) -> Heard:
    locations = []
    places = {}
    if caller is not None:
        locations.append(location(caller.location_id, "caller"))
        places[caller.location_id] = caller
    if incident is not None:
        locations.append(location(incident.location_id, "incident"))
        places[incident.location_id] = incident
    fact = fact or received()
    told = msgspec.structs.replace(fact, locations=tuple(locations))
    result = hear(None, told, version=1, at=NOON, places=places)
    assert result is not None
    return result
