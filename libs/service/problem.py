"""Errors for the person who gets them: problem documents (RFC 9457), the whole tree in one place.

    Problem
    ├── BadRequest           400  not HTTP or JSON as the standards have it
    ├── Unauthenticated      401  no token, or none that is accepted
    ├── Forbidden            403  the token's roles may not
    ├── NotFound             404  no such thing, or none that the caller may know of
    ├── MethodNotAllowed     405
    ├── NotAcceptable        406
    ├── TooSlow              408  the body did not arrive in time
    ├── Conflicting          409  the state has moved on, or does not allow it
    ├── TooLarge             413  the body, or what would be stored of it
    ├── AddressTooLong       414
    ├── UnsupportedMedia     415
    ├── Invalid              422  understood, and wrong: each error with a pointer to its place
    ├── IdempotencyMismatch  422  a used Idempotency-Key with another body
    ├── TooMany              429  more than one client may ask: `Retry-After` says when to come again
    ├── HeadersTooLarge      431
    ├── (a policy is refused, by the statuses of the NENA i3 Policy Store)
    │   ├── PolicySignature         434  nobody whom we trust signed it
    │   ├── PolicyPriority          436  two rules have one priority, or one has none that is
    │   ├── PolicyStructure         437  it is no policy document, or no JWS
    │   ├── PolicyAlgorithm         438  it is signed in another way than i3 has, or not at all where it must be
    │   ├── PolicyType              451  of no type that is kept here
    │   ├── PolicyAgency            452  of nobody who has policies here
    │   ├── PolicyExpiration        459  it has expired, or at a time that there is not
    │   └── PolicyUpdateExpiration  460  the same in an update
    ├── Internal             500  our mistake
    └── Unavailable          503  something we need is away: `Retry-After` says when to come again
        └── Overdue          503  not done in time; it may or may not have happened

A document never repeats what the request said (it may be personal), and never shows what is inside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from libs.service.context import current_request_id

BASE = "https://hueandcry.uk/problems/"
MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 50


class Fault(NamedTuple):
    """One thing that was wrong, and where."""

    detail: str
    pointer: str | None = None
    """JSON Pointer (RFC 6901) into the request's body."""
    parameter: str | None = None
    """The path, query or header parameter."""

    def document(self) -> dict[str, str]:
        return {name: value for name, value in self._asdict().items() if value is not None}


class Problem(Exception):
    """A refusal with its document. Raise one of the subclasses; `detail` is a sentence for the person who gets it."""

    status: ClassVar[int]
    slug: ClassVar[str]
    """The end of its `type`, `https://hueandcry.uk/problems/<slug>`."""
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults
        self.headers = dict(headers or {})
        self.members = members

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "type": BASE + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.faults:
            document["errors"] = [fault.document() for fault in self.faults[:MAX_FAULTS]]
        if request_id := current_request_id():
            document["requestId"] = request_id
        return document | self.members

    def body(self) -> bytes:
        # ASCII only: a member's name that a client sent may hold a lone surrogate, which no UTF-8 can carry.
        return json.dumps(self.document(), ensure_ascii=True, separators=(",", ":")).encode("ascii")


class BadRequest(Problem):
    """The request is not HTTP, a URL or JSON as the standards have it (RFC 9110, RFC 8259)."""

    status, slug, title = 400, "malformed-request", "The request is malformed"


class Unauthenticated(Problem):
    """There is no bearer token, or it is not accepted: `detail` says why."""

    status, slug, title = 401, "unauthenticated", "No valid token"


class Forbidden(Problem):
    """The token is valid and its roles, or its forces, may not do this."""

    status, slug, title = 403, "forbidden", "Not allowed"


class NotFound(Problem):
    """There is no such thing, or none that the token's forces may know of."""

    status, slug, title = 404, "not-found", "Not found"

    def __init__(self, detail: str = "There is nothing under this address that you may see.", **rest: Any) -> None:
        super().__init__(detail, **rest)


class MethodNotAllowed(Problem):
    """The address is right and the method is not: `Allow` names those that are."""

    status, slug, title = 405, "method-not-allowed", "Method not allowed"


class NotAcceptable(Problem):
    """None of the media types in `Accept` can be had here."""

    status, slug, title = 406, "not-acceptable", "Not acceptable"


class TooSlow(Problem):
    """The body did not arrive in time. Nothing has happened; send it again."""

    status, slug, title = 408, "too-slow", "The request did not arrive in time"


class Conflicting(Problem):
    """What is asked does not fit the state things are in now. Read it again, then decide again."""

    status, slug, title = 409, "conflict", "In conflict with the present state"


class TooLarge(Problem):
    """The body is larger than is taken here."""

    status, slug, title = 413, "too-large", "Too large"


class AddressTooLong(Problem):
    """The request's target is longer than is taken here."""

    status, slug, title = 414, "address-too-long", "The address is too long"


class UnsupportedMedia(Problem):
    """The body's `Content-Type` is not one that is taken here."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class Invalid(Problem):
    """The request was understood, and what it says is wrong. `errors` lists each fault with a pointer to its place."""

    status, slug, title = 422, "invalid", "The request is not valid"


class IdempotencyMismatch(Problem):
    """This `Idempotency-Key` was used before, with another request. Use a new key for a new request."""

    status, slug, title = 422, "idempotency-mismatch", "The idempotency key belongs to another request"

    def __init__(
        self, detail: str = "This Idempotency-Key was used with another request: take a new key.", **rest: Any
    ) -> None:
        super().__init__(detail, **rest)


class TooMany(Problem):
    """One client asks more than its share. `Retry-After` says in how many seconds to come again; emergencies pass."""

    status, slug, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class HeadersTooLarge(Problem):
    """The request's header fields are larger than is taken here."""

    status, slug, title = 431, "headers-too-large", "The header fields are too large"


class PolicySignature(Problem):
    """The policy's signature fails, or no authority of the alliance vouches for who made it (NENA i3)."""

    status, slug, title = 434, "policy-signature", "Signature verification failure"


class PolicyPriority(Problem):
    """Two rules of the policy have the same priority, or one has none from 0 up (NENA i3)."""

    status, slug, title = 436, "policy-priority", "Duplicate or invalid priority"


class PolicyStructure(Problem):
    """What was sent is no policy document in a JWS. `errors` name each place in the policy document (NENA i3)."""

    status, slug, title = 437, "policy-structure", "Bad policy structure"


class PolicyAlgorithm(Problem):
    """The policy must be signed with EdDSA (Ed448); unsigned only where its force takes such (NENA i3)."""

    status, slug, title = 438, "policy-algorithm", "Unacceptable algorithm"


class PolicyType(Problem):
    """There is no such policy type here: those that route are kept (NENA i3)."""

    status, slug, title = 451, "policy-type", "Unknown or bad policy type"


class PolicyAgency(Problem):
    """The policyOwner names none of this alliance's forces, nor the alliance (NENA i3)."""

    status, slug, title = 452, "policy-agency", "Unknown or bad agency name"


class PolicyExpiration(Problem):
    """The policy has expired, or its policyExpirationTime is no time with its offset (NENA i3)."""

    status, slug, title = 459, "policy-expiration", "Bad policyExpirationTime"


class PolicyUpdateExpiration(Problem):
    """The new version of the policy has expired, or its time is none: i3 has a status of its own for updates."""

    status, slug, title = 460, "policy-update-expiration", "Bad policyExpirationTime in an update"


class Internal(Problem):
    """A mistake of ours. Its `requestId` finds it in our logs."""

    status, slug, title = 500, "internal", "Something went wrong here"

    def __init__(self, detail: str = "The mistake is ours and has been logged under the request's id.") -> None:
        super().__init__(detail)


class Unavailable(Problem):
    """Something this needs is away for now. `Retry-After` says in how many seconds to come again."""

    status, slug, title = 503, "unavailable", "Not available just now"

    def __init__(self, detail: str, *, retry_after_s: int = 1, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s), **(headers or {})})


class Overdue(Unavailable):
    """It was not done in time, and may or may not have happened: ask again with the same `Idempotency-Key`."""

    slug, title = "overdue", "Not done in time"


TREE: tuple[type[Problem], ...] = (
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    TooSlow,
    Conflicting,
    TooLarge,
    AddressTooLong,
    UnsupportedMedia,
    Invalid,
    IdempotencyMismatch,
    TooMany,
    HeadersTooLarge,
    PolicySignature,
    PolicyPriority,
    PolicyStructure,
    PolicyAlgorithm,
    PolicyType,
    PolicyAgency,
    PolicyExpiration,
    PolicyUpdateExpiration,
    Internal,
    Unavailable,
    Overdue,
)
SLUGS = frozenset(problem.slug for problem in TREE)

SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "A problem document (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "enum": [BASE + problem.slug for problem in TREE]},
        "title": {"type": "string", "description": "What kind of problem it is: the same for every one of its type."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What was wrong this time, and what would be right."},
        "errors": {
            "type": "array",
            "maxItems": MAX_FAULTS,
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "JSON Pointer (RFC 6901) into the request's body."},
                    "parameter": {"type": "string", "description": "The path, query or header parameter."},
                },
            },
        },
        "requestId": {"type": "string", "description": "Under which our logs know the request."},
    },
}


def describe(status: int) -> str:
    """What a status means here: every problem that has it."""
    lines = [f"**{p.title}** (`{p.slug}`). {(p.__doc__ or '').strip()}" for p in TREE if p.status == status]
    if not lines:
        raise LookupError(f"no problem has the status {status}")
    return "\n\n".join(lines)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For an operation's `responses=`: the problems it may answer with, besides those that every operation may."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": describe(status), "content": content} for status in statuses}
