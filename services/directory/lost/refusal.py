"""What LoST calls errors (RFC 5222, section 13.1).

`SRSInvalid` is in that section's prose and not in the schema of section 15, by which no client could read it: an
unknown reference system is `locationInvalid` here. `forbidden`, `serverError` and `serverTimeout` are for servers that
ask others, which this one does not.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "badRequest",
    "internalError",
    "locationInvalid",
    "locationProfileUnrecognized",
    "loop",
    "notFound",
    "serviceNotImplemented",
]


class Refusal(Exception):
    """An answer with one error. The message is for people, and repeats nothing of what was sent."""

    def __init__(self, kind: Kind, message: str, profiles: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.profiles = profiles
        """Of a `locationProfileUnrecognized` the location profiles that were asked for, which section 15 makes it name:
        NMTOKENs, one at least."""
