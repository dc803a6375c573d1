"""An incident becomes a crime, and the registrar says that it did not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from libs.events.types import Fact
from libs.events.types.recording import ContactJoined, CrimeCancelled, IncidentCrimed, IncidentOpened
from services.recording import crimes
from services.recording.incidents import Incident, evolve, incident_of

OPENED = IncidentOpened(
    reference="INC-1",
    owning_force="bedfordshire",
    owned_because="handler",
    contact="contact-1",
    opened_by="anna",
    reported_at=datetime(2026, 3, 1, tzinfo=UTC),
)


def incident(*facts: Fact) -> Incident:
    made = incident_of([OPENED, *facts])
    assert made is not None
    return made


def test_an_incident_becomes_a_crime_once_under_each_reference() -> None:
    one = incident(*crimes.crime(incident(), "40/1/26", "rec"))
    assert (one.crimes, one.version) == (("40/1/26",), 2)
    assert crimes.crime(one, "40/1/26", "another") == []
    assert crimes.crime(one, "40/2/26", "rec") == [IncidentCrimed(crime="40/2/26", by="rec")]


def test_a_crime_that_was_cancelled_stands_no_more_and_may_come_again() -> None:
    one = incident(IncidentCrimed(crime="a", by="rec"), IncidentCrimed(crime="b", by="rec"))
    [cancelled] = crimes.cancel(one, "a", "reg")
    assert cancelled == CrimeCancelled(crime="a", by="reg")
    after = evolve(one, cancelled)
    assert after is not None
    assert after.crimes == ("b",)
    assert crimes.crime(after, "a", "rec")
    with pytest.raises(crimes.NoSuchCrime):
        crimes.cancel(after, "a", "reg")


def test_versions_count_every_fact_of_an_incident_that_became_a_crime() -> None:
    one = incident(IncidentCrimed(crime="a", by="rec"), ContactJoined(contact="contact-2", by="rec"))
    assert one.version == 3
    assert one.contacts == ("contact-1", "contact-2")


def test_an_incident_becomes_no_more_than_a_hundred_crimes() -> None:
    one = incident(*(IncidentCrimed(crime=str(number), by="rec") for number in range(crimes.MAX_CRIMES)))
    with pytest.raises(crimes.TooManyCrimes):
        crimes.crime(one, "one more", "rec")


def test_what_was_not_opened_became_no_crime() -> None:
    with pytest.raises(ValueError, match="not opened"):
        evolve(None, IncidentCrimed(crime="a", by="rec"))
