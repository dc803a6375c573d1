"""Who may see a contact by what recording knows of it: `services/recording/contact_table.py`."""

from __future__ import annotations

from libs.events.log.scope import ALLIANCE
from services.recording.contact import Contact
from services.recording.contact_table import seen_by
from tests.unit.services.recording.test_contact import ANSWERED, after, received, routed


def forces(contact: Contact) -> dict[str, str | None]:
    return {access.why: access.force for access in seen_by(contact) if access.holder is None}


def test_who_owns_it_presented_it_and_answered_it_are_kept_apart_and_may_all_see_it() -> None:
    contact = after(received(presented_force="hertfordshire"), routed("cambridgeshire"), ANSWERED)
    assert forces(contact) == {
        "owning": "cambridgeshire",
        "presented": "hertfordshire",
        "answering": "bedfordshire",
    }


def test_a_contact_nobody_owns_yet_is_the_alliances_too() -> None:
    assert forces(after(received())) == {"alliance": ALLIANCE}
    assert forces(after(received(presented_force="hertfordshire"))) == {
        "alliance": ALLIANCE,
        "presented": "hertfordshire",
    }
    assert forces(after(received(), routed("hertfordshire"))) == {"owning": "hertfordshire"}


def test_a_contact_is_its_handlers_too() -> None:
    contact = after(received(), routed("cambridgeshire"), ANSWERED)
    assert [access.holder for access in seen_by(contact) if access.why == "in-hands"] == [contact.handler]
