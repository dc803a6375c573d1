"""Who owns an incident: `services/recording/owner.py`."""

from __future__ import annotations

import pytest

from libs.places.atlas import Candidate, Located
from services.recording.owner import Known, Owner, owner_of

CLEAR = Located((Candidate("hertfordshire", 1.0, 1.0),), 5000.0, False, False, 1.0)
CLOSE = Located((Candidate("hertfordshire", 1.0, 0.6), Candidate("cambridgeshire", 0.0, 0.4)), 8.0, True, False, 0.6)
NOWHERE = Located((), None, False, True, 0.0)
CALLED_FROM_CAMBS = Known(owning_force="cambridgeshire")


def at(force: str | None, because: str, *, provisional: bool = False) -> Owner:
    return Owner(force=force, because=because, provisional=provisional)  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [None, "bedfordshire", "cambridgeshire"])
@pytest.mark.parametrize("routed", [None, "bedfordshire"])
def test_a_place_clear_of_any_border_decides_alone(named: str | None, routed: str | None) -> None:
    known = Known(incident_force=routed, owning_force="cambridgeshire")
    assert owner_of(CLEAR, known, named) == at("hertfordshire", "incident-location")


def test_too_close_to_say_the_handler_says() -> None:
    assert owner_of(CLOSE, CALLED_FROM_CAMBS, "hertfordshire") == at("hertfordshire", "handler")


def test_a_handler_cannot_name_a_force_that_the_place_rules_out() -> None:
    assert owner_of(CLOSE, CALLED_FROM_CAMBS, "bedfordshire") == at(
        "cambridgeshire", "incident-location", provisional=True
    )


def test_too_close_to_say_and_nobody_says_the_contacts_owner_has_it_for_now() -> None:
    assert owner_of(CLOSE, CALLED_FROM_CAMBS, None) == at("cambridgeshire", "incident-location", provisional=True)


def test_too_close_to_say_and_the_contact_is_from_elsewhere_the_largest_share_has_it_for_now() -> None:
    known = Known(owning_force="bedfordshire")
    assert owner_of(CLOSE, known, None) == at("hertfordshire", "incident-location", provisional=True)


@pytest.mark.parametrize("place", [None, NOWHERE])
def test_without_a_usable_place_the_contacts_own_incident_location_decides(place: Located | None) -> None:
    known = Known(incident_force="bedfordshire", owning_force="cambridgeshire")
    assert owner_of(place, known, "hertfordshire") == at("bedfordshire", "incident-location")


@pytest.mark.parametrize("place", [None, NOWHERE])
def test_without_any_place_the_handler_says(place: Located | None) -> None:
    assert owner_of(place, CALLED_FROM_CAMBS, "hertfordshire") == at("hertfordshire", "handler")


@pytest.mark.parametrize("provisional", [True, False])
def test_when_nobody_says_where_it_goes_with_its_contact(provisional: bool) -> None:
    known = Known(owning_force="cambridgeshire", provisional=provisional)
    assert owner_of(None, known, None) == at("cambridgeshire", "contact-owner", provisional=provisional)


def test_a_place_that_nobody_can_place_leaves_the_owner_provisional_unless_the_handler_says() -> None:
    routed = Known(incident_force="bedfordshire", owning_force="cambridgeshire")
    assert owner_of(None, routed, None, unplaced=True) == at("bedfordshire", "incident-location", provisional=True)
    assert owner_of(NOWHERE, CALLED_FROM_CAMBS, None, unplaced=True) == at(
        "cambridgeshire", "contact-owner", provisional=True
    )
    assert owner_of(NOWHERE, CALLED_FROM_CAMBS, "hertfordshire", unplaced=True) == at("hertfordshire", "handler")


def test_an_incident_of_a_contact_without_an_owner_is_the_alliances_for_now() -> None:
    assert owner_of(None, Known(), None) == at(None, "contact-owner", provisional=True)
