"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is sent again happens once.

A key belongs to the token's subject and the operation. It is kept for ever, as a claim in the very append that the
request led to, so that key and effect are on disk together or not at all. Under it stands a fingerprint of the
request, an HMAC-SHA-256 under the contact's own key, so that nobody can try bodies against it who has not that key, nor
anybody once the contact is erased; and the id of what was made, so that the second answer is the first one. Where the
request says nothing of a person, and the service has no key of the contact, the contact's id stands for the key.

Two requests at once with one key: one append wins, the other finds the claim taken and gives the winner's answer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Annotated, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
from fastapi import Header
from starlette.requests import Request

from libs.events import cipher
from libs.events.log.store import Claim
from libs.service.caller import Caller
from libs.service.problem import BadRequest, Conflicting, Fault, IdempotencyMismatch

HEADER = "Idempotency-Key"
MAX_LENGTH = 255
_DIGEST = 32

IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        alias=HEADER,
        description="Send a request again with the key of the first time, and it happens once. Best a UUID, in quotes "
        f"or without; at most {MAX_LENGTH} characters. Kept for ever, for this operation and this token's subject.",
    ),
]

_PRINTABLE = re.compile(r"[ -~]{1,255}")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_ESCAPE = re.compile(r'\\(["\\])')


class Keyed(NamedTuple):
    """A request that may be sent again."""

    claim_key: str
    canonical: bytes
    """Whose request it is, and what it says."""

    @classmethod
    def of(cls, header: str, *, subject: str, operation: str, body: bytes, target: str = "") -> Keyed:
        """The request under its key. `body` is JSON that was found valid, or empty; `target` is what the address names,
        where that is not the contact.

        Raises BadRequest for a header that is no key.
        """
        scope = msgspec.json.encode((subject, operation, read_key(header)))
        return cls(
            f"idempotency/{hashlib.sha256(scope).hexdigest()}", msgspec.json.encode(subject) + canonical(body, target)
        )

    def claim(self, contact: str, made: str, *, key: bytes | None = None) -> Claim:
        """What the request's append takes: `made` is the id of what it brings about, `key` the contact's."""
        return Claim(self.claim_key, self._digest(contact, key) + UUID(made).bytes)

    def made(self, contact: str, fingerprint: bytes, *, of: str | None = None, key: bytes | None = None) -> str:
        """The id of what the first request made; `key` as for the first.

        Raises IdempotencyMismatch where that one was another request, or was about another contact than `of`;
        Conflicting where nobody can tell any more, because the contact's key is destroyed (empty).
        """
        if of not in (None, contact):
            raise IdempotencyMismatch
        if key is not None and not key:
            raise Conflicting("The contact of this Idempotency-Key has been erased: take a new key for a new request.")
        if not hmac.compare_digest(self._digest(contact, key), fingerprint[:_DIGEST]):
            raise IdempotencyMismatch
        return str(UUID(bytes=fingerprint[_DIGEST:]))

    def _digest(self, contact: str, key: bytes | None) -> bytes:
        return cipher.fingerprint(contact.encode() if key is None else key, self.canonical)


async def keyed(
    request: Request, header: str | None, caller: Caller, operation: str, *, target: str = ""
) -> Keyed | None:
    """The request under its key; None where the client sent none. Raises BadRequest for a header that is no key."""
    if header is None:
        return None
    return Keyed.of(header, subject=caller.subject, operation=operation, body=await request.body(), target=target)


def read_key(header: str) -> str:
    """The key that the header holds: a quoted string as the draft has it (RFC 9651, section 3.3.3), or a bare one.

    Raises BadRequest.
    """
    text = header.strip()
    quoted = _QUOTED.fullmatch(text)
    key = _ESCAPE.sub(r"\1", quoted[1]) if quoted else text
    if not _PRINTABLE.fullmatch(key) or (not quoted and text.startswith('"')):
        raise BadRequest(
            f"{HEADER} is not a key.",
            faults=[Fault(f"1 to {MAX_LENGTH} printable ASCII characters, best a UUID.", parameter=HEADER)],
        )
    return key


def canonical(body: bytes, target: str) -> bytes:
    """One form for every way to write the same JSON about the same thing: members sorted, no space between."""
    return msgspec.json.encode((target, msgspec.json.decode(body) if body else None), order="sorted")
