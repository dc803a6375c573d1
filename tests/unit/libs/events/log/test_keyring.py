"""A stream's key opens under the master that wrapped it, for that stream, and masters change while services run."""

from __future__ import annotations

import pytest

from libs.events import cipher
from libs.events.cipher import Unopened
from libs.events.envelope import Event
from libs.events.log.keyring import (
    DESTROYED,
    Keyring,
    UnknownMaster,
    UnusableMasters,
    master_of,
    new_master,
    read_masters,
)
from libs.events.types.contacts import ContactMessageAdded, MessagePersonal

FIRST, SECOND = new_master(), new_master()


class Kept:
    """Where the masters stand."""

    def __init__(self, *masters: object) -> None:
        self.text = ""
        self.put(*masters)

    def put(self, *masters: object) -> None:
        self.text = "".join(master if isinstance(master, str) else master.line() for master in masters)  # type: ignore[attr-defined]

    def __call__(self) -> str:
        return self.text


def wrapped(key: bytes | None) -> bytes:
    assert key
    return key


def test_a_stream_s_key_comes_back_from_its_wrapping() -> None:
    keyring = Keyring("/intake", Kept(FIRST))
    made = keyring.new("s")
    again = Keyring("/intake", Kept(FIRST)).key_of("s", made.new)
    assert (again.secret, again.new) == (made.secret, None)
    assert made.secret not in wrapped(made.new)
    assert master_of(wrapped(made.new)) == FIRST.id
    assert made.secret.hex() not in repr(made)
    assert keyring.new("s").secret != made.secret


@pytest.mark.parametrize(("source", "subject"), [("/router", "s"), ("/intake", "t")])
def test_a_key_is_for_its_own_stream(source: str, subject: str) -> None:
    made = Keyring("/intake", Kept(FIRST)).new("s")
    with pytest.raises(Unopened):
        Keyring("/intake", Kept(FIRST)).unwrap(wrapped(made.new), source=source, subject=subject)


def test_a_key_is_its_master_s_own_whatever_that_is_called() -> None:
    made = Keyring("/intake", Kept(FIRST)).new("s")
    impostor = SECOND._replace(id=FIRST.id)
    with pytest.raises(Unopened):
        Keyring("/intake", Kept(impostor)).unwrap(wrapped(made.new), subject="s")


def test_a_master_that_comes_is_used_when_a_key_names_it() -> None:
    kept = Kept(FIRST)
    keyring = Keyring("/intake", kept)
    kept.put(FIRST, SECOND)
    made = Keyring("/intake", kept).new("s")
    assert master_of(wrapped(made.new)) == SECOND.id
    assert keyring.unwrap(wrapped(made.new), subject="s") == made.secret
    assert keyring.current == SECOND.id


def test_a_master_that_is_gone_opens_nothing() -> None:
    made = Keyring("/intake", Kept(FIRST)).new("s")
    with pytest.raises(UnknownMaster):
        Keyring("/intake", Kept(SECOND)).unwrap(wrapped(made.new), subject="s")


def test_rewrapped_it_is_the_same_key_under_the_current_master() -> None:
    kept = Kept(FIRST)
    keyring = Keyring("/intake", kept)
    made = keyring.new("s")
    assert keyring.rewrapped(wrapped(made.new), subject="s") is None
    kept.put(FIRST, SECOND)
    other = wrapped(keyring.rewrapped(wrapped(made.new), subject="s"))
    assert master_of(other) == SECOND.id
    kept.put(SECOND)
    assert Keyring("/intake", kept).unwrap(other, subject="s") == made.secret
    assert keyring.rewrapped(DESTROYED, subject="s") is None


def test_a_file_of_masters_that_is_broken_changes_nothing() -> None:
    kept = Kept(FIRST)
    keyring = Keyring("/intake", kept)
    made = keyring.new("s")
    kept.put("half a li")
    with pytest.raises(UnknownMaster):
        keyring.unwrap(wrapped(Keyring("/intake", Kept(SECOND)).new("s").new), subject="s")
    assert keyring.unwrap(wrapped(made.new), subject="s") == made.secret


def test_a_destroyed_key_stays_destroyed_and_one_that_never_was_is_made() -> None:
    keyring = Keyring("/intake", Kept(FIRST))
    assert keyring.key_of("s", DESTROYED) == (DESTROYED, None)
    assert keyring.key_of("s", None).new is not None


def test_a_stream_is_opened_with_its_key_and_left_as_it_is_without() -> None:
    keyring = Keyring("/intake", Kept(FIRST))
    key = keyring.new("s")
    fact = ContactMessageAdded(message_id="m", sender="caller", personal=MessagePersonal(text="x"))
    event = Event.of(fact, source="/intake", subject="s", version=1, key=key.secret)
    kept = Event(**{name: getattr(event, name) for name in event.__struct_fields__ if name != "personal"})
    assert [e.fact for e in keyring.opened([kept], key.new)] == [fact]
    assert keyring.opened([kept], DESTROYED) == keyring.opened([kept], None) == [kept]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "alone",
        "short AAAA",
        f"no-base64 {'!' * 43}=",
        f"a b {'A' * 43}=",
        FIRST.line() + FIRST.line(),
        f"{'n' * 65} {FIRST.line().split()[1]}",
    ],
    ids=["empty", "blank", "no key", "too short", "no base64", "with a space", "twice", "too long a name"],
)
def test_masters_that_are_none_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(UnusableMasters) as refused:
        read_masters(text)
    for part in text.split():
        assert len(part) < 4 or part not in str(refused.value)


def test_the_last_master_is_the_current_one_and_its_id_says_when_it_was_made() -> None:
    assert read_masters(f"\n{FIRST.line()}\n{SECOND.line()}")[-1] == SECOND
    assert SECOND.made_at is not None
    assert FIRST._replace(id="ours").made_at is None
    assert FIRST.line().split()[1] not in repr(FIRST)
    assert len(cipher.new_key()) == 32
