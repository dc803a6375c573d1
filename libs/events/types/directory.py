"""Facts about what an alliance is. Stream and Kafka key: the entity, as `force/bedfordshire`, `queue/alliance-default`.

Each `…Defined` carries the whole entity: the latest of a stream is what holds. `…Withdrawn` ends it.
"""

from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from libs.events.types import agreement, manner
from libs.events.types.base import Fact, Part
from libs.events.types.contacts import Channel, Line
from libs.events.types.shapes import Polygon

TOPIC = "hueandcry.directory"
AREAS_TOPIC = "hueandcry.areas"


class AllianceDefined(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.directory.alliance-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    name: str
    default_queue: str
    """The queue of last resort, by its id: for what cannot be placed."""
    domain: str | None = None
    """The alliance as an agency (NENA i3): the policyOwner of policies that are nobody else's."""
    policy_authorities: str | None = None
    """PEM: the certificates of those who vouch for whoever signs policies."""


ForceKind: TypeAlias = Literal["territorial", "special", "scotland", "northern-ireland"]
"""Of England and Wales; of the railway, of defence, of the nuclear industry; of the other two jurisdictions."""


class Reach(Part, frozen=True, kw_only=True):
    """A way to reach a force that it tells the public."""

    by: Literal["telephone", "text", "web"]
    to: str
    """A number as people dial it, or an https URL."""
    purpose: Literal["emergency", "non-emergency", "information"]
    source: str
    """Where it is published."""


class ForceDefined(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.directory.force-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    """A slug: `bedfordshire`. Areas, queues and tokens name the force by it."""
    name: str
    ons_code: str | None = None
    pnc_code: str | None = None
    member: bool = True
    """A party to this alliance, or a neighbour that is only known."""
    agency: str | None = None
    """The domain name by which NENA i3 names the force: what its policies' policyOwner is, or contains."""
    signed_policies: bool = False
    """It takes only policies that it has signed."""
    kind: ForceKind = "territorial"
    """Only a territorial force of England and Wales has an area here; the others own no place by it."""
    reach: tuple[Reach, ...] = ()


class SiteDefined(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.directory.site-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    name: str


class QueueDefined(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.directory.queue-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    name: str
    uri: str
    """NENA i3 queueUri."""
    force: str | None = None
    """None: the alliance's own."""
    line: Line | None = None
    channels: tuple[Channel, ...] = ()
    """What it takes; empty takes all."""
    emergency: bool = False
    """It also takes web and online contacts that cannot wait."""
    priority: int = 5
    """Of its contacts, 1 first."""
    max_length: int = 10_000
    """NENA i3 queueMaxLength: a queue over it is `Full` in its state; nothing is refused."""


class LineDefined(Fact, frozen=True, kw_only=True):
    """A trunk or dialled number, and the force it presents a call to."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.line-defined.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    line: Line
    force: str
    trunk: str | None = None
    dialled_number: str | None = None


class EntityWithdrawn(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.directory.entity-withdrawn.v1"
    TOPIC: ClassVar[str] = TOPIC

    entity: str
    """`force/…`, `site/…`, `queue/…`, `line/…`, `hours/…`, `holidays/…`, `greeting/…`, `crime-reference/…`,
    `overlay/…`, `agreement/…` or `gap-overlap/…`."""
    reason: str


class PolicyStored(Fact, frozen=True, kw_only=True):
    """A routing policy (NENA-STA-010.3, section 3.3) holds from here on, in place of the one before. Stream and key:
    `policy/<id>`. The document travels with it as it came, and can be verified again."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.policy-stored.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    """Made from force, type and queue or id: the same for each version of a policy."""
    force: str | None = None
    """Whose it is. None: the alliance's own."""
    policy_owner: str
    policy_type: str
    policy_queue_name: str | None = None
    policy_id: str | None = None
    policy_expiration_time: datetime | None = None
    payload: str
    """The JWS in the flattened JSON serialisation (RFC 7515): base64url of the policy document, byte for byte."""
    protected: str
    signature: str
    """Empty: its force takes unsigned policies, and nobody signed it."""
    warnings: tuple[str, ...] = ()
    """What is allowed in it and will not have been meant."""
    by: str
    """The token's subject."""
    reason: str | None = None
    """As whoever stored it gave it; it is about the policy, and names nobody."""


class PolicyWithdrawn(Fact, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "uk.hueandcry.directory.policy-withdrawn.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    force: str | None = None
    by: str
    """The token's subject."""
    reason: str | None = None


class AreaRef(Part, frozen=True, kw_only=True):
    force: str
    hashes: tuple[str, ...]
    """SHA-256 of each chunk, in order. Joined, the chunks are the zlib-deflated WKB of the area: a MultiPolygon
    in EPSG:27700, coordinates in metres."""


class FoundGapOverlap(Part, frozen=True, kw_only=True):
    """A place that no force has though forces are all around it, or that several have."""

    gap: bool
    forces: tuple[str, ...]
    """Of an overlap those that have it, of a gap those around it; sorted."""
    area_m2: float
    polygon: Polygon
    """Its outline, drawn simpler where it has many corners."""


class AreaMoved(Part, frozen=True, kw_only=True):
    """What changes for one force."""

    force: str
    before_m2: float
    """0.0: it had no area."""
    after_m2: float
    """0.0: it has none any more."""
    gained_m2: float
    lost_m2: float
    to_nobody_m2: float
    """Of what it lost: what no force has now."""
    moved_m: float
    """How far its border moved where it moved furthest between forces."""
    more_than_expected: bool


class BoundariesReport(Part, frozen=True, kw_only=True):
    """What was found when a generation was checked."""

    format: str
    """Of the file."""
    crs: str
    """`EPSG:4326` or `EPSG:27700`: what the file's numbers were."""
    compared_with: str | None = None
    """The generation that was in force then; None: there was none."""
    missing: tuple[str, ...] = ()
    """Members of the alliance without an area."""
    gone: tuple[str, ...] = ()
    """Other forces that had an area before and have none now."""
    unknown: tuple[str, ...] = ()
    """What the file calls those of its areas that are no known force's."""
    repaired: tuple[str, ...] = ()
    """Forces whose outline crossed itself and was put right."""
    gaps: int = 0
    overlaps: int = 0
    """Those that are thinner than the drawing is accurate are not counted."""
    largest: tuple[FoundGapOverlap, ...] = ()
    """Of the gaps and overlaps."""
    moved: tuple[AreaMoved, ...] = ()
    blocking: tuple[str, ...] = ()
    """Sentences: what forbids activation, unless somebody overrides it."""
    notes: tuple[str, ...] = ()
    """Sentences: what else people should know."""


class BoundariesImported(Fact, frozen=True, kw_only=True):
    """A generation of boundaries has been read and checked, and its chunks published: it may be activated, and rules
    nothing before. One of the same name that was never activated is replaced by it. Stream and key as of
    `BoundariesActivated`. A reader may get it ready ahead."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.boundaries-imported.v1"
    TOPIC: ClassVar[str] = TOPIC

    generation: str
    source: str
    """Whose areas they are, with the attribution their licence asks for."""
    accuracy_m: float
    """How far from a drawn border the truth may lie."""
    areas: tuple[AreaRef, ...]
    report: BoundariesReport
    by: str | None = None
    """The token's subject. None: the command that imports a file."""


class BoundariesActivated(Fact, frozen=True, kw_only=True):
    """A generation of boundaries rules from here on. A reader switches only when it holds every chunk named."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.boundaries-activated.v1"
    TOPIC: ClassVar[str] = TOPIC

    generation: str
    source: str
    """Whose areas they are, with the attribution their licence asks for."""
    accuracy_m: float
    """How far from a drawn border the truth may lie: nearer than this is too close to say."""
    areas: tuple[AreaRef, ...]
    by: str | None = None
    """The token's subject. None: a command."""
    reason: str | None = None
    """As whoever activated it gave it; it is about the boundaries, and names nobody."""
    overridden: tuple[str, ...] = ()
    """What the report says against it, in sentences, and it was activated all the same."""


class GapOverlapFound(Fact, frozen=True, kw_only=True):
    """NENA i3 GapOverlap: the boundaries in force leave a place to nobody, or give it to several. Stream and key:
    `gap-overlap/<id>`; withdrawn (`EntityWithdrawn`) when other boundaries are in force that do not."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.gap-overlap-found.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    """Made from the place and the forces: the same for as long as they are the same."""
    agencies: tuple[str, ...]
    """The domain names of the forces; of a force without one, its id."""
    layers: tuple[str, ...]
    """The services whose boundaries they are."""
    gap: bool
    """Or an overlap."""
    date_time: datetime
    """From when: the boundaries came into force."""
    area: Polygon
    """Its outline, drawn simpler where it has many corners."""
    area_m2: float
    generation: str
    """The boundaries it was found in first."""


class NeighbourhoodRef(Part, frozen=True, kw_only=True):
    id: str
    """As its publisher names it: `E05009543`."""
    name: str
    hashes: tuple[str, ...]
    """As in `AreaRef`."""


class NeighbourhoodsActivated(Fact, frozen=True, kw_only=True):
    """The neighbourhood areas of one force from here on: they tell who looks after a place, and decide nothing.
    Stream and key: `neighbourhoods/<force>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.neighbourhoods-activated.v1"
    TOPIC: ClassVar[str] = TOPIC

    force: str
    generation: str
    source: str
    """Whose areas they are, with the attribution their licence asks for."""
    areas: tuple[NeighbourhoodRef, ...]


OverlayKind: TypeAlias = Literal["railway", "airport", "port", "defence", "nuclear", "other"]


class OverlayFeature(Part, frozen=True, kw_only=True):
    id: str
    """As its publisher names it: `EGGW`."""
    name: str
    force: str
    """Who is suggested."""


class OverlayActivated(Fact, frozen=True, kw_only=True):
    """Places where another force than the owner, or a unit of it, may be meant: a railway, an airport. From here on an
    answer suggests it within reach of one; whose a place is, it never decides. Stream and key: `overlay/<id>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.overlay-activated.v1"
    TOPIC: ClassVar[str] = TOPIC

    id: str
    name: str
    kind: OverlayKind
    generation: str
    source: str
    """Whose data it is, with the attribution its licence asks for."""
    within_m: float
    """How far from a feature it is suggested."""
    features: tuple[OverlayFeature, ...]
    hashes: tuple[str, ...]
    """SHA-256 of each chunk, in order. Joined, the chunks are the zlib-deflated WKB of a GeometryCollection in
    EPSG:27700: a point, line or area for each feature, in their order."""


class AreaChunkPublished(Fact, frozen=True, kw_only=True):
    """A piece of geometry, named by its content. Stream and key: `area/<sha256>`."""

    TYPE: ClassVar[str] = "uk.hueandcry.directory.area-chunk.v1"
    TOPIC: ClassVar[str] = AREAS_TOPIC

    sha256: str
    content: bytes
    """Base64 on the wire; at most 320 KiB before that."""


FACTS: tuple[type[Fact], ...] = (
    AllianceDefined,
    ForceDefined,
    SiteDefined,
    QueueDefined,
    LineDefined,
    EntityWithdrawn,
    PolicyStored,
    PolicyWithdrawn,
    BoundariesImported,
    BoundariesActivated,
    GapOverlapFound,
    NeighbourhoodsActivated,
    OverlayActivated,
    AreaChunkPublished,
    *manner.FACTS,
    *agreement.FACTS,
)
