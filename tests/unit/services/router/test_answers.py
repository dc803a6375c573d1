"""What the router answers: services/router/answers.py."""

from libs.events.envelope import events_of
from libs.events.types.routing import OwnerConfirmed
from services.router.answers import ContactRouting
from services.router.contact import NEVER_SEEN, fold
from services.router.queue import confirm, place
from tests.unit.services.router.given import ALLIANCE, NOON, heard, placed, received


def test_every_decision_is_told_in_order_with_what_caused_it() -> None:
    known = heard(received(presented="bedfordshire"))
    first = place(NEVER_SEEN, known, ALLIANCE)
    located = heard(received(presented="bedfordshire"), caller=placed("l2", hertfordshire=1.0))
    second = place(fold(first), located, ALLIANCE)
    third = confirm(fold([*first, *second]), located, ALLIANCE, owning_force="cambridgeshire", handler="ann")
    events = events_of([*first, *second, *third], source="/router", subject="c1", after=0, time=NOON)
    shown = ContactRouting.told_by("c1", events)
    assert isinstance(third[0], OwnerConfirmed)
    assert [(d.version, d.cause, d.owning_force) for d in shown.decisions] == [
        (1, "presented", "bedfordshire"),
        (2, "location", "hertfordshire"),
        (4, "confirmed", "cambridgeshire"),
    ]
    assert (shown.status, shown.confirmed, shown.queue, shown.version) == ("waiting", True, "cambridgeshire-999", 4)
    assert shown.model_dump(mode="json")["decisions"][1]["locationId"] == "l2"
