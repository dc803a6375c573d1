"""What the router keeps of a contact: services/router/contact.py."""

from datetime import timedelta

import msgspec
import pytest

from libs.events.types.contacts import ContactEnded, ContactLocated, ContactMessageAdded, ContactRectified
from libs.events.types.routing import ContactRouted
from services.router.contact import Heard, Placed, evolve, fold, hear
from tests.unit.services.router.given import NOON, heard, location, placed, received


def later_location(known: Heard, place: Placed | None, of: str = "caller", version: int = 2) -> Heard:
    fact = ContactLocated(location=location("later", of))  # type: ignore[arg-type]
    result = hear(known, fact, version=version, at=NOON, places={} if place is None else {"later": place})
    assert result is not None
    return result


def test_the_latest_location_heard_counts() -> None:
    after = later_location(heard(caller=placed(bedfordshire=1.0)), placed("later", hertfordshire=1.0))
    assert after.caller == placed("later", hertfordshire=1.0)
    assert after.version == 2


@pytest.mark.parametrize("place", [None, placed("later")])
def test_a_location_that_names_no_force_never_displaces_one_that_does(place: Placed | None) -> None:
    known = heard(caller=placed(bedfordshire=1.0))
    assert later_location(known, place).caller == known.caller


def test_a_location_outside_every_area_is_better_than_none() -> None:
    assert later_location(heard(), placed("later")).caller == placed("later")


def test_a_later_location_outside_displaces_an_earlier_one_outside() -> None:
    assert later_location(heard(caller=placed()), placed("later")).caller == placed("later")


def test_of_several_locations_told_at_once_the_last_usable_one_counts() -> None:
    fact = received(locations=(location("a"), location("b"), location("c"), location("d", "other")))
    places = {"a": placed("a", bedfordshire=1.0), "b": placed("b", essex=1.0), "d": placed("d", hertfordshire=1.0)}
    first = hear(None, fact, version=1, at=NOON, places=places)
    assert first is not None
    assert (first.caller, first.incident) == (places["b"], None)


def test_caller_and_incident_are_kept_apart() -> None:
    after = later_location(heard(caller=placed(bedfordshire=1.0)), placed("later", essex=1.0), of="incident")
    assert (after.caller, after.incident) == (placed(bedfordshire=1.0), placed("later", essex=1.0))


def corrected(known: Heard, name: str, place: Placed | None, of: str = "caller") -> Heard:
    fact = ContactRectified(
        by="dpo",
        authority="DPO/1",
        reason="found-wrong",
        rectification="r",
        member="location",
        location=location(name, of),  # type: ignore[arg-type]
    )
    result = hear(known, fact, version=3, at=NOON, places={} if place is None else {name: place})
    assert result is not None
    assert result.version == 3
    return result


@pytest.mark.parametrize("place", [None, placed("used"), placed("used", hertfordshire=1.0)])
def test_the_right_place_takes_the_wrong_one_s_whatever_it_names(place: Placed | None) -> None:
    known = heard(caller=placed("used", bedfordshire=1.0), incident=placed("where", essex=1.0))
    after = corrected(known, "used", place)
    assert (after.caller, after.incident) == (place, known.incident)


def test_a_correction_of_an_earlier_place_changes_nothing() -> None:
    known = heard(caller=placed("used", bedfordshire=1.0))
    assert corrected(known, "earlier", placed("earlier", essex=1.0)).caller == known.caller


def test_a_place_that_could_not_be_used_can_be_used_once_it_is_right() -> None:
    place = placed("unusable", essex=1.0)
    assert corrected(heard(), "unusable", place).caller == place
    assert corrected(heard(), "unusable", place, of="incident").incident == place


def test_a_corrected_name_is_nothing_to_the_router() -> None:
    fact = ContactRectified(by="dpo", authority="DPO/1", reason="request", rectification="r", member="name")
    known = heard(caller=placed(bedfordshire=1.0))
    assert hear(known, fact, version=2, at=NOON) == msgspec.structs.replace(known, version=2)


def test_a_message_can_turn_a_contact_into_an_emergency_and_none_turns_it_back() -> None:
    known: Heard | None = heard(received("online"))
    for version, emergency in enumerate((False, True, False), 2):
        fact = ContactMessageAdded(message_id=str(version), sender="caller", emergency=emergency)
        known = hear(known, fact, version=version, at=NOON)
        assert known is not None
        assert known.emergency is (version >= 3)


def test_its_place_in_time_and_its_invitation_are_kept() -> None:
    known = hear(heard(), ContactEnded(reason="caller-ended", ended_at=NOON), version=2, at=NOON)
    assert known is not None
    assert (known.received_at, known.invited_at) == (NOON, NOON - timedelta(seconds=4))
    assert known.ended_at == NOON


def test_before_the_first_fact_nothing_can_be_heard() -> None:
    assert hear(None, ContactEnded(reason="caller-ended", ended_at=NOON), version=2, at=NOON) is None


@pytest.mark.parametrize("force", ["bed\0fordshire", "b" * 600])
def test_a_text_no_table_can_hold_is_refused(force: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        hear(None, received(presented=force), version=1, at=NOON)


def test_what_was_heard_survives_its_own_encoding() -> None:
    known = heard(received("online", emergency=True), caller=placed(too_close=True, essex=0.5, bedfordshire=0.5))
    assert msgspec.json.decode(msgspec.json.encode(known), type=Heard) == known


def test_a_fact_of_an_unknown_type_moves_the_version_and_nothing_else() -> None:
    routed = ContactRouted(
        cause="presented", queue="q", recipient_uri="sip:q", priority=1, contact_version=1, waiting_since=NOON
    )
    contact = fold([routed])
    after = evolve(contact, None)
    assert (after.version, after.status, after.decision) == (2, "waiting", routed)
