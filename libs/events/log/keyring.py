"""The keys of a service's streams, and the master keys that wrap them.

Invariants
  * A stream whose facts carry what identifies a person has a data key of its own, made with the first append that needs
    one. Only wrapped does it leave the process: in the `stream` row, in copies of it, on `hueandcry.keys`.
  * A wrapped key opens under the master it names, and for its own stream alone: source and subject are authenticated.
  * A destroyed key (an empty one) is never replaced. What was sealed with it is noise, and nothing more is sealed.

Masters stand in MASTER_KEYS, or in the file that MASTER_KEYS_FILE names, a line each, the last one current:
`<id> <32 bytes in base64>`. The file is read anew when it changes, and whenever a key names a master that is not known.
"""

from __future__ import annotations

import re
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.events import cipher
from libs.events.cipher import KEY_BYTES, Unopened
from libs.events.envelope import Event
from libs.events.log import metrics
from libs.events.log.errors import Unavailable

DESTROYED = b""
"""Stands where a key was."""
LOOK_EVERY_S = 1.0
"""How often the masters are looked for anew: a change of the current one is used no later."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_MADE = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{6}")

_place = msgspec.json.Encoder().encode


class UnusableMasters(ValueError):
    """The master keys cannot be used: what is wrong, and never what stands there."""


class UnknownMaster(Unavailable):
    """A key is wrapped by a master that this process does not have: it was destroyed, or has not arrived yet."""


class Master(NamedTuple):
    id: str
    key: bytes

    def __repr__(self) -> str:
        return f"Master({self.id!r})"

    def line(self) -> str:
        return f"{self.id} {b64encode(self.key).decode()}\n"

    @property
    def made_at(self) -> datetime | None:
        """When it was made, where its id says so."""
        match = _MADE.fullmatch(self.id)
        return datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if match else None


def new_master() -> Master:
    return Master(f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}", cipher.new_key())


def read_masters(text: str) -> list[Master]:
    """The masters in order, the last one current. Raises UnusableMasters."""
    found: list[Master] = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        name, _, encoded = line.partition(" ")
        try:
            key = b64decode(encoded.strip(), validate=True)
        except NotBase64:
            key = b""
        if not _ID.fullmatch(name) or len(key) != KEY_BYTES:
            raise UnusableMasters(f"line {number} is no `<id> <32 bytes in base64>`")
        if name in [master.id for master in found]:
            raise UnusableMasters(f"line {number} names a master that stands there already")
        found.append(Master(name, key))
    if not found:
        raise UnusableMasters("there is no master key: make one with `python -m libs.events.log.keyring new`")
    return found


def master_of(wrapped: bytes) -> str:
    """The id of the master that a wrapped key names."""
    length = wrapped[0] if wrapped else 0
    return wrapped[1 : 1 + length].decode("ascii", "replace")


def wrap(master: AESGCM, name: str, secret: bytes, *, source: str, subject: str) -> bytes:
    """The master's id with its length before it, then the key as `cipher.encrypt` writes it."""
    return bytes([len(name)]) + name.encode() + cipher.encrypt(master, secret, _place((name, source, subject)))


def unwrap(master: AESGCM, wrapped: bytes, *, source: str, subject: str) -> bytes:
    """Raises Unopened where it was not wrapped by this master, or for another stream."""
    name = master_of(wrapped)
    return cipher.decrypt(master, wrapped[1 + len(name) :], _place((name, source, subject)))


class StreamKey(NamedTuple):
    """The key of a stream, for what is appended to it now."""

    secret: bytes
    """DESTROYED: nothing that identifies a person can be appended."""
    new: bytes | None = None
    """Wrapped, where it was made just now: the append must bring it (`store.Append.key`)."""

    def __repr__(self) -> str:
        return "StreamKey(…)"


class Keyring:
    """Makes, wraps and unwraps the keys of streams, for one service."""

    def __init__(self, source: str, read: Callable[[], str]) -> None:
        """`read` gives the masters' text as it is at the moment. Raises UnusableMasters."""
        self.source = source
        self._read = read
        self._text = ""
        self._looked = 0.0
        self._masters: dict[str, AESGCM] = {}
        self._current = ""
        self._take(read())

    def new(self, subject: str) -> StreamKey:
        """A key for a stream that has none."""
        self._look()
        secret = cipher.new_key()
        current = self._masters[self._current]
        return StreamKey(secret, wrap(current, self._current, secret, source=self.source, subject=subject))

    def key_of(self, subject: str, wrapped: bytes | None) -> StreamKey:
        """The key of a stream of ours, by what stands in its row; made, where nothing does."""
        return self.new(subject) if wrapped is None else StreamKey(self.unwrap(wrapped, subject=subject))

    def unwrap(self, wrapped: bytes, *, subject: str, source: str | None = None) -> bytes:
        """The data key; DESTROYED where it is. Raises UnknownMaster, Unopened."""
        if wrapped == DESTROYED:
            return DESTROYED
        name = master_of(wrapped)
        if name not in self._masters:
            self._look(at_once=True)
        if name not in self._masters:
            raise UnknownMaster(name)
        return unwrap(self._masters[name], wrapped, source=self.source if source is None else source, subject=subject)

    def opened(self, events: Sequence[Event], wrapped: bytes | None) -> list[Event]:
        """The events of a stream with what was sealed in them; as they are where there is no key any more.

        Raises UnknownMaster, Unopened.
        """
        if not wrapped or not events:
            return list(events)
        secret = self.unwrap(wrapped, subject=events[0].subject, source=events[0].source)
        return [event.opened(secret) for event in events]

    def rewrapped(self, wrapped: bytes, *, subject: str) -> bytes | None:
        """The same key under the current master; None where it is under that already, or destroyed.

        Raises UnknownMaster, Unopened.
        """
        self._look(at_once=True)
        if wrapped == DESTROYED or master_of(wrapped) == self._current:
            return None
        secret = self.unwrap(wrapped, subject=subject)
        return wrap(self._masters[self._current], self._current, secret, source=self.source, subject=subject)

    @property
    def current(self) -> str:
        """The id of the master that wraps new keys."""
        return self._current

    def _look(self, *, at_once: bool = False) -> None:
        """Read the masters anew, seldom, unless one is missing. What cannot be read or used changes nothing."""
        now = time.monotonic()
        if at_once or now - self._looked > LOOK_EVERY_S:
            self._looked = now
            try:
                text = self._read()
                if text != self._text:
                    self._take(text)
            except (OSError, UnusableMasters):
                return

    def _take(self, text: str) -> None:
        masters = read_masters(text)
        self._text = text
        self._masters = {master.id: AESGCM(master.key) for master in masters}
        self._current = masters[-1].id
        if masters[-1].made_at is not None:
            metrics.MASTER_MADE_AT.set(masters[-1].made_at.timestamp())


__all__ = [
    "DESTROYED",
    "Keyring",
    "Master",
    "StreamKey",
    "UnknownMaster",
    "Unopened",
    "UnusableMasters",
    "master_of",
    "new_master",
    "read_masters",
]

if __name__ == "__main__":
    from libs.events.log import masters

    raise SystemExit(masters.main())
