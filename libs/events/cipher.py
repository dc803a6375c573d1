"""Sealing what identifies a person: AES-256-GCM under a key of the stream's own.

Invariants
  * A sealed text opens under the key it was sealed with, and only where it stands: source, subject, version and type
    are authenticated with it, so that it cannot be moved to another event.
  * A nonce is 96 random bits. A stream's key seals as many texts as the stream has events: some thousands at most, far
    from where two nonces could meet (NIST SP 800-38D, section 8.3: 2³²).
  * What is lost or destroyed is the key; a text without it is noise.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from os import urandom

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = b"\x01"
"""AES-256-GCM, a nonce of 12 bytes, a tag of 16."""
_SHORTEST = len(_FORMAT) + NONCE_BYTES + 16

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_place = msgspec.json.Encoder().encode


class Erased(Exception):
    """The person this is about was erased: nothing more that identifies him can be kept under this subject."""


class Unopened(Exception):
    """It is no sealed text, or not of this key, or it was moved or changed."""


def new_key() -> bytes:
    return urandom(KEY_BYTES)


def place_of(source: str, subject: str, version: int, kind: str) -> bytes:
    """Where a sealed text stands, one writing for each place: a JSON array."""
    return _place((source, subject, version, kind))


def encrypt(cipher: AESGCM, plain: bytes, place: bytes) -> bytes:
    """Format, nonce, ciphertext and tag."""
    nonce = urandom(NONCE_BYTES)
    return _FORMAT + nonce + cipher.encrypt(nonce, plain, place)


def decrypt(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    """Raises Unopened."""
    if len(sealed) < _SHORTEST or not sealed.startswith(_FORMAT):
        raise Unopened("this is nothing that was sealed here")
    try:
        return cipher.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], place)
    except InvalidTag:
        raise Unopened("it was sealed with another key or elsewhere, or it was changed") from None


def seal(key: bytes, plain: bytes, place: bytes) -> str:
    """The text that stands for `plain`: base64url without padding."""
    return _base64url(encrypt(AESGCM(key), plain, place)).decode()


def _base64url(octets: bytes) -> bytes:
    """RFC 4648, section 5, without padding; in one pass, where the standard library takes three."""
    return b2a_base64(octets, newline=False).translate(_URL_SAFE, b"=")


def unseal(key: bytes, sealed: str | bytes, place: bytes) -> bytes:
    """What was sealed. Raises Unopened."""
    text = sealed.encode() if isinstance(sealed, str) else sealed
    try:
        # Strictly, so that of each sealed text there is one writing only.
        octets = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
        if _base64url(octets) != text:
            raise Unopened("this is not base64url")
    except ValueError:
        raise Unopened("this is not base64url") from None
    return decrypt(AESGCM(key), octets, place)


def fingerprint(key: bytes, message: bytes) -> bytes:
    """A digest that nobody can compare with anything who has not the key: HMAC-SHA-256, under a key derived from this
    one, which itself only seals."""
    return hmac.digest(hmac.digest(key, b"fingerprint", "sha256"), message, "sha256")
