"""What is known of a contact and of the world at the moment a policy is asked about it.

Invariant: what is not known is not taken for anything. A member that is None, or a service, queue or URN that a mapping
does not name, makes a condition about it neither hold nor fail: no rule wins by what nobody knows, negated or not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from libs.policy.document import Key
from libs.policy.vocabulary import ORIGINATION


@dataclass(frozen=True, kw_only=True)
class State:
    owner: str
    """Whose policies count: the agency that the queue belongs to, as its policyOwner or its domain."""
    queue: str | None = None
    """The URI of the queue it came in on."""
    policy_type: str = ORIGINATION
    """Of the policy that is asked first, the one for `queue`."""
    queue_owners: Mapping[str, str] = field(default_factory=dict)
    """Whose a queue is, by its URI, where it is not `owner`'s: nobody's policy decides for another's queue."""

    request_uri: str | None = None
    call_source: str | None = None
    """The network it came from, as section 3.3.3.1.11 makes it of the Via header fields."""
    headers: Mapping[str, Sequence[str]] | None = None
    """SIP header fields by name in lower case; one that is not named is not there."""
    erroneous_headers: Collection[str] = ()
    """Names in lower case."""
    body_types: Collection[str] | None = None
    """Media types of its body parts, in lower case."""
    body_parts: Mapping[str, Mapping[str, str]] | None = None
    """By media type in lower case: the elements of the first part of it."""
    additional_data: Mapping[str, Mapping[str, str]] | None = None
    """By block, as EmergencyCallData.SubscriberInfo: its elements."""
    lies_within: Callable[[str, str], bool | None] | None = None
    """Of a profile and a PIDF-LO document: whether the contact's location lies there; None: that cannot be said."""
    suspicion: int | None = None
    """0 to 100."""
    postures: Mapping[str, str] = field(default_factory=dict)
    queues: Mapping[str, str] = field(default_factory=dict)
    """QueueState by queue URI."""
    services: Mapping[str, str] = field(default_factory=dict)
    """ServiceState by service or agency."""
    next_hops: Mapping[str, str | None] = field(default_factory=dict)
    """What LoST answers for the contact's location, by service URN; None: it was asked and there is none."""
    media: Mapping[str, Sequence[str]] | None = None
    """What is offered (video, audio, rtt, im), and in which languages, the preferred first."""
    alert: Mapping[str, str] | None = None
    """Of a Common Alerting Protocol message, by the tags of section 3.3.3.1.17."""
    alert_non_interactive: bool | None = None
    number_verification: str | None = None

    failed: frozenset[tuple[Key, str]] = frozenset()
    """Rules (of which policy, by which id) that won before and led nowhere: they count as if they did not hold
    (section 4.2.1.7)."""
