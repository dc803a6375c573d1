"""What may happen to a contact in a queue: services/router/queue.py."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.types import Fact
from libs.events.types.contacts import ContactEnded, ContactLocated, ContactMessageAdded
from libs.events.types.directory import EntityWithdrawn
from libs.events.types.routing import (
    ContactAbandoned,
    ContactAnswered,
    ContactClosed,
    ContactReleased,
    ContactRouted,
    OwnerConfirmed,
)
from services.router import queue
from services.router.contact import NEVER_SEEN, Contact, Heard, Placed, evolve, fold, hear
from services.router.queue import confirm, give_back, place, place_anew, take, withdraw
from services.router.reactions import REACTIONS
from tests.unit.services.router.given import ALLIANCE, NOON, alliance, heard, location, placed, received


def waiting(known: Heard) -> Contact:
    return fold(place(NEVER_SEEN, known, ALLIANCE))


def answered(known: Heard, handler: str = "ann") -> Contact:
    contact = waiting(known)
    return fold(take(contact, handler=handler, force=None, site=None, now=NOON), contact)


def ended(known: Heard) -> Heard:
    after = hear(known, ContactEnded(reason="caller-ended", ended_at=NOON + timedelta(seconds=9)), version=9, at=NOON)
    assert after is not None
    return after


def test_a_later_location_moves_a_waiting_contact_and_keeps_its_place_in_time() -> None:
    contact = waiting(heard(caller=placed(bedfordshire=1.0)))
    [moved] = place(contact, heard(caller=placed("l2", hertfordshire=1.0)), ALLIANCE)
    assert isinstance(moved, ContactRouted)
    assert moved.queue == "hertfordshire-999"
    assert contact.decision is not None
    assert moved.waiting_since == contact.decision.waiting_since == NOON


def test_what_changes_nothing_is_not_decided_again() -> None:
    known = heard(caller=placed(bedfordshire=1.0))
    contact = waiting(known)
    message = ContactMessageAdded(message_id="m", sender="caller")
    after = hear(known, message, version=2, at=NOON)
    assert after is not None
    assert place(contact, after, ALLIANCE) == []


def test_another_location_used_is_another_decision_on_record() -> None:
    contact = waiting(heard(caller=placed(bedfordshire=1.0)))
    [again] = place(contact, heard(caller=placed("l2", bedfordshire=1.0)), ALLIANCE)
    assert isinstance(again, ContactRouted)
    assert (again.location_id, again.queue) == ("l2", "bedfordshire-999")


def test_a_location_after_the_answer_is_recorded_and_moves_nothing_out_of_the_handlers_hands() -> None:
    contact = answered(heard(caller=placed(bedfordshire=1.0)))
    after = fold(place(contact, heard(caller=placed("l2", hertfordshire=1.0)), ALLIANCE), contact)
    assert (after.status, after.handler) == ("answered", "ann")
    assert after.decision is not None
    assert after.decision.owning_force == "hertfordshire"


def test_a_contact_given_back_waits_where_it_belongs_by_then() -> None:
    contact = answered(heard(caller=placed(bedfordshire=1.0)))
    contact = fold(place(contact, heard(caller=placed("l2", hertfordshire=1.0)), ALLIANCE), contact)
    [released] = give_back(contact, handler="ann", reason="other")
    assert isinstance(released, ContactReleased)
    assert released.queue == "hertfordshire-999"
    back = evolve(contact, released)
    assert (back.status, back.handler) == ("waiting", None)
    assert back.decision is not None
    assert back.decision.waiting_since == NOON


def test_a_contact_in_a_queue_that_was_withdrawn_is_placed_anew_by_whoever_knows_as_much_of_the_directory() -> None:
    known = heard(caller=placed(bedfordshire=1.0))
    gone = EntityWithdrawn(entity="queue/bedfordshire-999", reason="closed")
    [anew] = place_anew(waiting(known), known, alliance(gone))
    assert isinstance(anew, ContactRouted)
    assert (anew.queue, anew.cause, anew.waiting_since) == ("alliance-default", "no-queue", NOON)
    assert place_anew(waiting(known), known, ALLIANCE) == [], "its queue is there"
    assert place_anew(answered(known), known, alliance(gone)) == [], "it does not wait"
    behind = replace(alliance(gone), position=ALLIANCE.position - 1)
    assert place_anew(waiting(known), known, behind) == [], "another copy knew more when it decided"


def test_a_call_that_ended_while_it_waited_is_abandoned() -> None:
    known = heard(caller=placed(bedfordshire=1.0))
    [fact] = withdraw(waiting(known), ended(known), ALLIANCE)
    assert fact == ContactAbandoned(
        queue="bedfordshire-999",
        invite_timestamp=NOON - timedelta(seconds=4),
        cancel_timestamp=NOON + timedelta(seconds=9),
    )


def test_a_report_that_arrived_whole_is_never_abandoned() -> None:
    known = heard(received("web"), caller=placed(bedfordshire=1.0))
    assert withdraw(waiting(known), ended(known), ALLIANCE) == []


@pytest.mark.parametrize("channel", ["telephone", "web", "online"])
def test_a_contact_that_ended_after_its_answer_is_closed(channel: str) -> None:
    known = heard(received(channel), caller=placed(bedfordshire=1.0))  # type: ignore[arg-type]
    [fact] = withdraw(answered(known), ended(known), ALLIANCE)
    assert fact == ContactClosed(handler="ann", ended_at=NOON + timedelta(seconds=9))


def test_an_end_heard_again_says_nothing_new() -> None:
    known = heard()
    over = fold(withdraw(waiting(known), ended(known), ALLIANCE), waiting(known))
    assert withdraw(over, ended(known), ALLIANCE) == []


def test_the_wait_is_measured_from_when_the_contact_was_received() -> None:
    [fact] = take(waiting(heard()), handler="ann", force="f", site="s", now=NOON + timedelta(seconds=7.5))
    assert fact == ContactAnswered(
        handler="ann", answering_force="f", answering_site="s", queue="alliance-default", waited_s=7.5
    )


def test_a_clock_that_runs_behind_makes_no_negative_wait() -> None:
    [fact] = take(waiting(heard()), handler="ann", force=None, site=None, now=NOON - timedelta(seconds=1))
    assert isinstance(fact, ContactAnswered)
    assert fact.waited_s == 0


def test_nobody_takes_what_somebody_has() -> None:
    with pytest.raises(queue.NotWaiting):
        take(answered(heard()), handler="bob", force=None, site=None, now=NOON)


def test_only_its_handler_gives_a_contact_back_unless_overruled() -> None:
    contact = answered(heard())
    with pytest.raises(queue.HeldByAnother):
        give_back(contact, handler="bob", reason="other")
    [fact] = give_back(contact, handler="supervisor", reason="other", overrule=True)
    assert isinstance(fact, ContactReleased)
    assert fact.handler == "ann"
    with pytest.raises(queue.NotAnswered):
        give_back(waiting(heard()), handler="ann", reason="other")


def test_a_confirmed_owner_moves_a_waiting_contact_and_ends_the_provisional() -> None:
    known = heard(received(presented="bedfordshire"))
    contact = waiting(known)
    confirmed, decision = confirm(contact, known, ALLIANCE, owning_force="hertfordshire", handler="ann")
    assert confirmed == OwnerConfirmed(owning_force="hertfordshire", handler="ann")
    assert isinstance(decision, ContactRouted)
    assert (decision.queue, decision.cause) == ("hertfordshire-999", "confirmed")
    assert not decision.provisional


def test_a_later_location_does_not_override_a_confirmed_owner() -> None:
    known = heard(received(presented="bedfordshire"))
    contact = waiting(known)
    contact = fold(confirm(contact, known, ALLIANCE, owning_force="hertfordshire", handler="ann"), contact)
    located = heard(received(presented="bedfordshire"), caller=placed("l2", bedfordshire=1.0))
    assert place(contact, located, ALLIANCE) == []


def test_an_emergency_still_moves_a_contact_whose_owner_was_confirmed() -> None:
    known = heard(received("online", presented="bedfordshire"))
    contact = waiting(known)
    contact = fold(confirm(contact, known, ALLIANCE, owning_force="hertfordshire", handler="ann"), contact)
    urgent = hear(known, ContactMessageAdded(message_id="m", sender="caller", emergency=True), version=2, at=NOON)
    assert urgent is not None
    [moved] = place(contact, urgent, ALLIANCE)
    assert isinstance(moved, ContactRouted)
    assert (moved.queue, moved.owning_force, moved.cause) == ("hertfordshire-999", "hertfordshire", "confirmed")


def test_confirming_again_says_nothing_new_and_confirming_otherwise_corrects() -> None:
    known = heard()
    contact = waiting(known)
    contact = fold(confirm(contact, known, ALLIANCE, owning_force="hertfordshire", handler="ann"), contact)
    assert confirm(contact, known, ALLIANCE, owning_force="hertfordshire", handler="bob") == []
    contact = fold(confirm(contact, known, ALLIANCE, owning_force="bedfordshire", handler="bob"), contact)
    assert contact.confirmed_owner == "bedfordshire"


def test_nobody_owns_a_contact_whom_the_directory_does_not_know() -> None:
    with pytest.raises(queue.UnknownForce):
        confirm(waiting(heard()), heard(), ALLIANCE, owning_force="atlantis", handler="ann")


def test_a_neighbour_confirmed_as_owner_leaves_the_contact_in_the_default_queue() -> None:
    known = heard(received(presented="hertfordshire"))
    _, decision = confirm(waiting(known), known, ALLIANCE, owning_force="essex", handler="ann")
    assert isinstance(decision, ContactRouted)
    assert (decision.owning_force, decision.queue, decision.cause) == ("essex", "alliance-default", "no-queue")


def test_the_first_decision_is_made_on_the_first_fact_and_every_reaction_has_one() -> None:
    assert [fact.__name__ for fact in REACTIONS] == [
        "ContactReceived",
        "ContactLocated",
        "ContactMessageAdded",
        "ContactRectified",
        "ContactEnded",
    ]


@pytest.mark.parametrize(
    ("length", "max_length", "state"), [(0, 2, "Active"), (1, 2, "Active"), (2, 2, "Full"), (0, None, "Disabled")]
)
def test_a_queue_at_its_length_is_full_and_one_the_directory_forgot_is_disabled(
    length: int, max_length: int | None, state: str
) -> None:
    assert queue.condition(length, max_length) == state


PLACES = st.sampled_from(
    [
        None,
        placed("x"),
        placed("x", essex=1.0),
        placed("x", bedfordshire=1.0),
        placed("x", too_close=True, hertfordshire=0.6, cambridgeshire=0.4),
    ]
)
LOCATED = st.tuples(st.sampled_from(["caller", "incident", "other"]), PLACES)
STEPS = st.lists(
    st.one_of(
        LOCATED,
        st.sampled_from(["message", "emergency", "end", "take", "give-back", "overrule", "confirm-herts", "confirm-x"]),
    ),
    max_size=14,
)
FIRST = st.builds(
    received,
    st.sampled_from(["telephone", "web", "online"]),
    presented=st.sampled_from([None, "bedfordshire", "essex", "unheard-of"]),
    emergency=st.booleans(),
)

LEGAL = {
    None: {"waiting"},
    "waiting": {"waiting", "answered", "abandoned"},
    "answered": {"answered", "waiting", "closed"},
    "abandoned": {"abandoned"},
    "closed": {"closed"},
}


def tell(contact: Contact, known: Heard, step: object, version: int) -> tuple[list[Fact], Heard]:
    """The facts that follow one step, and what has been heard after it."""
    fact: Fact
    places: dict[str, Placed] = {}
    match step:
        case (str() as of, known_place):
            fact = ContactLocated(location=location(f"l{version}", of))  # type: ignore[arg-type]
            if isinstance(known_place, Placed):
                places[f"l{version}"] = known_place
        case "message" | "emergency":
            fact = ContactMessageAdded(message_id=str(version), sender="caller", emergency=step == "emergency")
        case "end":
            fact = ContactEnded(reason="caller-ended", ended_at=NOON + timedelta(seconds=version))
        case "take":
            return take(contact, handler=f"h{version}", force=None, site=None, now=NOON), known
        case "give-back":
            return give_back(contact, handler=contact.handler or "nobody", reason="other"), known
        case "overrule":
            return give_back(contact, handler="supervisor", reason="other", overrule=True), known
        case _:
            force = "hertfordshire" if step == "confirm-herts" else "atlantis"
            return confirm(contact, known, ALLIANCE, owning_force=force, handler="ann"), known
    after = hear(known, fact, version=version, at=NOON, places=places)
    assert after is not None
    return REACTIONS[type(fact)](contact, after, ALLIANCE), after


@given(FIRST, STEPS)
def test_any_order_of_events_after_the_first_leads_to_a_legal_state(first: object, steps: list[object]) -> None:
    known = heard(first)  # type: ignore[arg-type]
    contact = fold(place(NEVER_SEEN, known, ALLIANCE))
    for version, step in enumerate(steps, 2):
        try:
            facts, known = tell(contact, known, step, version)
        except queue.Refused:
            continue
        for fact in facts:
            before, contact = contact, evolve(contact, fact)
            assert contact.status in LEGAL[before.status]
            assert contact.version == before.version + 1
        assert contact.decision is not None
        assert contact.decision.waiting_since == NOON
        assert (contact.handler is not None) == (contact.status in ("answered", "closed"))
        assert contact.decision.queue in ALLIANCE.queues
        if contact.confirmed_owner is not None:
            assert contact.decision.owning_force == contact.confirmed_owner
            assert not contact.decision.provisional
        if contact.decision.owning_force is None:
            assert contact.decision.queue == "alliance-default"
            assert contact.decision.provisional
