"""The policy of services/router/decide.py, clause by clause."""

from dataclasses import replace

import msgspec
import pytest

from libs.events.types.contacts import Channel, ContactReceived, Line
from libs.events.types.directory import ForceDefined, OverlayActivated, OverlayFeature, QueueDefined
from services.router.contact import Placed, hear_envelope
from services.router.decide import NoDefaultQueue, decide
from tests.unit.services.router.given import ALLIANCE, NOON, alliance, heard, placed, received


def test_the_largest_share_of_the_callers_place_owns_the_contact() -> None:
    decision = decide(heard(caller=placed(bedfordshire=0.7, hertfordshire=0.3)), ALLIANCE)
    assert (decision.owning_force, decision.cause, decision.provisional) == ("bedfordshire", "location", False)
    assert [(c.force, c.share) for c in decision.candidates] == [("bedfordshire", 0.7), ("hertfordshire", 0.3)]
    assert (decision.location_id, decision.generation, decision.border_m) == ("l1", "g1", 900.0)


def test_the_presented_force_does_not_outweigh_the_place() -> None:
    decision = decide(heard(received(presented="hertfordshire"), caller=placed(bedfordshire=1.0)), ALLIANCE)
    assert (decision.owning_force, decision.presented_force) == ("bedfordshire", "hertfordshire")


@pytest.mark.parametrize(
    ("channel", "line", "emergency", "queue", "priority"),
    [
        ("telephone", "999", False, "bedfordshire-999", 1),
        ("telephone", "101", False, "bedfordshire-101", 5),
        ("telephone", "101", True, "bedfordshire-999", 1),
        ("web", None, False, "bedfordshire-web", 7),
        ("online", None, False, "bedfordshire-online", 4),
        ("online", None, True, "bedfordshire-999", 1),
        ("web", None, True, "bedfordshire-999", 1),
    ],
)
def test_queue_and_priority_follow_from_force_line_channel_and_emergency(
    channel: Channel, line: Line | None, emergency: bool, queue: str, priority: int
) -> None:
    fact = received(channel, line=line, emergency=emergency)
    decision = decide(heard(fact, caller=placed(bedfordshire=1.0)), ALLIANCE)
    assert (decision.queue, decision.priority) == (queue, priority)
    assert decision.recipient_uri == f"sip:{queue}@alliance.example"
    assert decision.needs_handler is (channel != "web")


def test_too_close_to_say_goes_to_the_candidate_it_was_presented_to() -> None:
    place = placed(too_close=True, bedfordshire=0.6, hertfordshire=0.4)
    decision = decide(heard(received(presented="hertfordshire"), caller=place), ALLIANCE)
    assert (decision.owning_force, decision.cause, decision.provisional) == ("hertfordshire", "border-presented", True)


def test_too_close_to_say_and_presented_to_a_stranger_goes_to_the_largest_share() -> None:
    place = placed(too_close=True, bedfordshire=0.6, hertfordshire=0.4)
    decision = decide(heard(received(presented="cambridgeshire"), caller=place), ALLIANCE)
    assert (decision.owning_force, decision.cause, decision.provisional) == (
        "bedfordshire",
        "border-largest-share",
        True,
    )


def test_too_close_to_the_alliances_own_border_stays_in_the_alliance() -> None:
    place = placed(too_close=True, essex=0.6, hertfordshire=0.4)
    decision = decide(heard(received(presented="bedfordshire"), caller=place), ALLIANCE)
    assert (decision.owning_force, decision.cause, decision.provisional) == (
        "hertfordshire",
        "border-largest-share",
        True,
    )


def test_without_a_usable_location_the_presented_force_has_it_provisionally() -> None:
    decision = decide(heard(received(presented="cambridgeshire")), ALLIANCE)
    assert (decision.owning_force, decision.cause, decision.provisional) == ("cambridgeshire", "presented", True)
    assert decision.location_id is None


@pytest.mark.parametrize(
    "fact",
    [received(trunk="trunk-1"), received(dialled="+441234000999"), received(trunk="trunk-1", presented="unheard-of")],
)
def test_the_presented_force_is_known_by_trunk_or_dialled_number(fact: ContactReceived) -> None:
    decision = decide(heard(fact), ALLIANCE)
    assert (decision.owning_force, decision.presented_force) == ("bedfordshire", "bedfordshire")
    assert decision.cause == "presented"


def test_what_was_said_outweighs_the_trunk() -> None:
    decision = decide(heard(received(trunk="trunk-1", presented="hertfordshire")), ALLIANCE)
    assert decision.presented_force == "hertfordshire"


def test_a_call_whose_line_was_not_said_has_the_line_of_its_trunk() -> None:
    fact = received(trunk="trunk-1")
    decision = decide(heard(msgspec.structs.replace(fact, line=None)), ALLIANCE)
    assert (decision.line, decision.queue) == ("999", "bedfordshire-999")


@pytest.mark.parametrize(
    ("fact", "place", "cause"),
    [
        (received(), None, "no-location-no-presented-force"),
        (received(presented="unheard-of"), None, "unknown-presented-force"),
        (received(presented="essex"), None, "unknown-presented-force"),
        (received(), placed(), "outside-areas"),
        (received(presented="unheard-of"), placed(), "outside-areas"),
        (received(), placed(essex=1.0), "not-in-alliance"),
        (received(), placed(too_close=True, essex=1.0), "not-in-alliance"),
    ],
)
def test_what_no_force_can_be_found_for_waits_in_the_default_queue_with_the_reason(
    fact: ContactReceived, place: Placed | None, cause: str
) -> None:
    decision = decide(heard(fact, caller=place), ALLIANCE)
    assert (decision.owning_force, decision.queue, decision.cause) == (None, "alliance-default", cause)
    assert decision.provisional


@pytest.mark.parametrize(
    ("fact", "priority"),
    [
        (received(line="999"), 1),
        (received("web", emergency=True), 1),
        (received("online", line="999"), 1),
        (received(line="101"), 2),
        (received("web"), 2),
    ],
)
def test_what_cannot_wait_comes_first_in_the_default_queue_where_all_wait_together(
    fact: ContactReceived, priority: int
) -> None:
    decision = decide(heard(fact), ALLIANCE)
    assert (decision.queue, decision.priority) == ("alliance-default", priority)


@pytest.mark.parametrize(("place", "cause"), [(placed(), "outside-areas"), (placed(essex=1.0), "not-in-alliance")])
def test_a_place_that_is_nobodys_here_leaves_the_presented_force_with_it(place: Placed | None, cause: str) -> None:
    decision = decide(heard(received(presented="hertfordshire"), caller=place), ALLIANCE)
    assert (decision.owning_force, decision.queue, decision.cause) == ("hertfordshire", "hertfordshire-999", cause)
    assert decision.provisional
    assert decision.location_id == "l1"


def test_a_force_without_a_queue_for_it_still_owns_it_and_it_waits_in_the_default_queue() -> None:
    decision = decide(heard(received("web"), caller=placed(bedfordshire=1.0)), alliance(without=("bedfordshire-web",)))
    assert (decision.owning_force, decision.queue, decision.cause) == ("bedfordshire", "alliance-default", "no-queue")
    assert not decision.provisional


@pytest.mark.parametrize("channel", ["web", "online"])
def test_in_writing_the_incidents_place_decides_where_the_callers_is_not_known(channel: Channel) -> None:
    fact = received(channel, presented="hertfordshire")
    decision = decide(heard(fact, incident=placed(cambridgeshire=1.0)), ALLIANCE)
    assert (decision.owning_force, decision.incident_force) == ("cambridgeshire", "cambridgeshire")
    assert (decision.cause, decision.provisional) == ("location", False)


@pytest.mark.parametrize("caller", [placed(), placed(essex=1.0)])
def test_in_writing_from_outside_the_alliance_the_incidents_place_decides(caller: Placed) -> None:
    told = heard(received("web"), caller=caller, incident=placed("l2", cambridgeshire=1.0))
    assert decide(told, ALLIANCE).owning_force == "cambridgeshire"
    assert decide(told, ALLIANCE).location_id == "l2"


@pytest.mark.parametrize("channel", ["telephone", "web", "online"])
def test_where_the_caller_is_decides_before_where_it_happened(channel: Channel) -> None:
    told = heard(received(channel), caller=placed(bedfordshire=1.0), incident=placed("l2", essex=1.0))
    decision = decide(told, ALLIANCE)
    assert (decision.owning_force, decision.incident_force) == ("bedfordshire", "essex")


def test_on_the_telephone_where_it_happened_never_decides() -> None:
    told = heard(received(presented="hertfordshire"), incident=placed(cambridgeshire=1.0))
    decision = decide(told, ALLIANCE)
    assert (decision.owning_force, decision.incident_force) == ("hertfordshire", "cambridgeshire")
    assert decision.cause == "presented"


def test_what_a_handler_confirmed_stands_against_any_place() -> None:
    told = heard(received(presented="hertfordshire"), caller=placed(bedfordshire=1.0))
    decision = decide(told, ALLIANCE, "cambridgeshire")
    assert (decision.owning_force, decision.queue) == ("cambridgeshire", "cambridgeshire-999")
    assert (decision.cause, decision.provisional) == ("confirmed", False)


def test_what_cannot_be_read_is_queued_from_its_envelope_as_a_call_that_cannot_wait() -> None:
    known = decide(hear_envelope("bedfordshire", version=1, at=NOON), ALLIANCE)
    assert (known.owning_force, known.queue, known.cause) == ("bedfordshire", "bedfordshire-999", "unprocessable")
    unknown = decide(hear_envelope("\0", version=1, at=NOON), ALLIANCE)
    assert (unknown.owning_force, unknown.queue, unknown.cause) == (None, "alliance-default", "unprocessable")
    assert known.needs_handler
    assert known.provisional


def test_nothing_is_decided_without_a_default_queue() -> None:
    with pytest.raises(NoDefaultQueue):
        decide(heard(caller=placed(bedfordshire=1.0)), alliance(without=("alliance-default",)))


def test_the_place_in_time_is_when_the_contact_was_received() -> None:
    assert decide(heard(), ALLIANCE).waiting_since == NOON


def test_the_decision_says_which_picture_of_the_alliance_it_was_made_on() -> None:
    later = alliance(QueueDefined(id="x", name="x", uri="sip:x@alliance.example", force="bedfordshire"))
    assert decide(heard(), later).directory_position == ALLIANCE.position + 1


@pytest.mark.parametrize(
    "place",
    [placed(bedfordshire=1.0), placed(bedfordshire=0.5, hertfordshire=0.5), None],
    ids=["in", "between", "none"],
)
def test_an_overlay_over_the_place_changes_no_decision(place: Placed | None) -> None:
    overlay = OverlayActivated(
        id="railway",
        name="Railway",
        kind="railway",
        generation="1",
        source="",
        within_m=1e9,
        features=(OverlayFeature(id="BDM", name="Bedford", force="british-transport"),),
        hashes=("x",),
    )
    strangers = (ForceDefined(id="british-transport", name="Railway", member=False, kind="special"), overlay)
    contact = heard(received(presented="cambridgeshire"), caller=place)
    overlaid = replace(alliance(*strangers), position=ALLIANCE.position)
    assert overlaid.overlays
    assert decide(contact, overlaid) == decide(contact, ALLIANCE)
