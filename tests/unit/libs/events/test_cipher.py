"""What is sealed opens with its key, where it stands, and in no other way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import cipher
from libs.events.cipher import Erased, Unopened, place_of
from libs.events.envelope import Event
from libs.events.types.contacts import ContactEnded, ContactMessageAdded, ContactReceived, MessagePersonal
from libs.events.types.recording import IncidentOpened, IncidentPersonal

KEY, OTHER = cipher.new_key(), cipher.new_key()
PLACES = st.tuples(st.text(max_size=8), st.text(max_size=8), st.integers(1, 2**40), st.text(max_size=8))


@dataclass
class Sealed:
    event: Event
    fact: ContactMessageAdded


def a_message(text: str, **other: Any) -> Sealed:
    fact = ContactMessageAdded(message_id="m", sender="caller", personal=MessagePersonal(text=text))
    return Sealed(Event.of(fact, **{"source": "/intake", "subject": "s", "version": 3, "key": KEY} | other), fact)


@given(st.binary(max_size=300), PLACES)
def test_what_is_sealed_is_what_is_opened(plain: bytes, place: tuple[str, str, int, str]) -> None:
    assert cipher.unseal(KEY, cipher.seal(KEY, plain, place_of(*place)), place_of(*place)) == plain


@given(PLACES, PLACES)
def test_it_opens_where_it_stands_and_nowhere_else(here: tuple[str, str, int, str], there: Any) -> None:
    sealed = cipher.seal(KEY, b"x", place_of(*here))
    if here == there:
        assert cipher.unseal(KEY, sealed, place_of(*there)) == b"x"
    else:
        with pytest.raises(Unopened):
            cipher.unseal(KEY, sealed, place_of(*there))


@given(st.binary(max_size=40), st.data())
def test_one_changed_character_and_it_does_not_open(plain: bytes, data: st.DataObject) -> None:
    sealed = cipher.seal(KEY, plain, b"here")
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != sealed[at]))
    with pytest.raises(Unopened):
        cipher.unseal(KEY, sealed[:at] + other + sealed[at + 1 :], b"here")
    with pytest.raises(Unopened):
        cipher.unseal(KEY, sealed[:at], b"here")


@given(st.binary(max_size=80) | st.text(max_size=80))
def test_what_was_never_sealed_does_not_open(noise: bytes | str) -> None:
    with pytest.raises(Unopened):
        cipher.unseal(KEY, noise, b"here")


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(Unopened):
        cipher.unseal(OTHER, cipher.seal(KEY, b"x", b"here"), b"here")


def test_the_same_sealed_again_looks_otherwise() -> None:
    assert len({cipher.seal(KEY, b"x", b"here") for _ in range(200)}) == 200


def test_a_fingerprint_is_its_key_s_own_and_not_made_with_the_key_that_seals() -> None:
    assert cipher.fingerprint(KEY, b"x") == cipher.fingerprint(KEY, b"x") != cipher.fingerprint(OTHER, b"x")
    assert cipher.fingerprint(KEY, b"x") != cipher.fingerprint(KEY, b"y")


# In an event ----------------------------------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_an_event_tells_its_fact_to_who_made_it_and_to_who_has_the_key(text: str) -> None:
    sealed = a_message(text)
    kept = msgspec.structs.replace(sealed.event, personal=None)
    assert sealed.event.fact == sealed.fact
    assert kept.is_sealed
    assert not kept.is_readable
    assert kept.fact == msgspec.structs.replace(sealed.fact, personal=None)
    assert kept.opened(KEY).fact == sealed.fact
    assert kept.opened(b"") == kept, "its key is destroyed"


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"]), min_size=8, max_size=60))
def test_nothing_of_what_was_said_stands_in_the_data(text: str) -> None:
    data = a_message(text).event.data
    assert text.encode() not in data
    assert json_of(text) not in data


def json_of(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


@pytest.mark.parametrize(
    "elsewhere", [{"source": "/other"}, {"subject": "t"}, {"version": 4}, {"type": "uk.hueandcry.contact.other.v1"}]
)
def test_what_was_sealed_in_one_event_does_not_open_in_another(elsewhere: dict[str, Any]) -> None:
    moved = msgspec.structs.replace(a_message("x").event, **elsewhere)
    with pytest.raises(Unopened):
        moved.opened(KEY)


def test_a_person_s_own_words_cannot_pass_for_what_is_sealed() -> None:
    words = '","personal":"AAAA","x":"'
    personal = IncidentPersonal(summary=words, place='{"personal":{"kind":"point"}}')
    fact = IncidentOpened(
        reference=words,
        owning_force=None,
        owned_because="handler",
        contact="c",
        opened_by="x",
        reported_at=datetime.now(UTC),
        personal=personal,
    )
    sealed = Event.of(fact, source="/recording", subject="i", version=1, key=KEY)
    assert not sealed.is_readable
    assert msgspec.structs.replace(sealed, personal=None).opened(KEY).fact == fact
    readable = Event.of(fact, source="/recording", subject="i", version=1)
    assert readable.is_readable
    assert not readable.is_sealed
    assert readable.fact == fact


def test_a_fact_that_says_nothing_of_a_person_is_not_sealed() -> None:
    ended = ContactEnded(reason="completed", ended_at=datetime.now(UTC))
    received = ContactReceived(reference="r", channel="telephone", medium="voice", gateway="g")
    for fact in (ended, received):
        for key in (KEY, b"", None):
            event = Event.of(fact, source="/intake", subject="s", version=1, key=key)
            assert not event.is_sealed
            assert event.opened(KEY) == event
            assert event.fact == fact


def test_with_a_destroyed_key_nothing_of_a_person_is_said() -> None:
    with pytest.raises(Erased):
        a_message("x", key=b"")
