"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is sent again happens once.

A key belongs to the token's subject and the operation. It is kept for ever, as a claim in the very append that the
request led to, so that key and effect are on disk together or not at all. Under it stands a fingerprint
of the body, an HMAC-SHA-256 keyed by the contact, so that equal bodies leave equal traces nowhere, and the id of what
was made, so that the second answer is the first one.

Two requests at once with one key: one append wins, the other finds the claim taken and gives the winner's answer.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple
from uuid import UUID

import msgspec

from libs.events.log.store import Claim
from libs.service.idempotency import read_key
from libs.service.problem import IdempotencyMismatch

_DIGEST = 32


class Keyed(NamedTuple):
    """A request that may be sent again."""

    claim_key: str
    canonical: bytes

    def claim(self, contact: str, made: str) -> Claim:
        """What the request's append takes: `made` is the id of what it brings about."""
        return Claim(self.claim_key, self._digest(contact) + UUID(made).bytes)

    def made(self, contact: str, fingerprint: bytes, *, of: str | None = None) -> str:
        """The id of what the first request made.

        Raises IdempotencyMismatch where that one had another body, or was about another contact than `of`.
        """
        if of not in (None, contact) or not hmac.compare_digest(self._digest(contact), fingerprint[:_DIGEST]):
            raise IdempotencyMismatch
        return str(UUID(bytes=fingerprint[_DIGEST:]))

    def _digest(self, contact: str) -> bytes:
        return hmac.digest(contact.encode(), self.canonical, "sha256")


def keyed(header: str | None, *, subject: str, operation: str, body: bytes) -> Keyed | None:
    """The request under its key; None where the client sent none. `body` is JSON that was found valid.

    Raises BadRequest for a header that is no key.
    """
    if header is None:
        return None
    scope = msgspec.json.encode((subject, operation, read_key(header)))
    return Keyed(f"idempotency/{hashlib.sha256(scope).hexdigest()}", canonical(body))


def canonical(body: bytes) -> bytes:
    """One form for every way to write the same JSON: members sorted, no space between."""
    return msgspec.json.encode(msgspec.json.decode(body), order="sorted")
