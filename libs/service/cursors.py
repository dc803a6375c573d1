"""Where a page of a list ended, as a client carries it to the next request. It says nothing that the page did not.

A place is a NamedTuple of what the list is sorted by. What its fields' types allow is what a cursor may hold: a client
can make one up, and gets a page or a refusal for it.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from fastapi import Query

from libs.service.problem import Fault, Invalid

CursorQuery: TypeAlias = Annotated[
    str | None,
    Query(
        max_length=256,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="`next` of the page before; left out: the first page.",
    ),
]
Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time in a place: with its offset."""

_Place = TypeVar("_Place", bound=tuple[Any, ...])


def written(place: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read(cursor: str, form: type[_Place], *, parameter: str) -> _Place:
    """The place that was written. Raises Invalid, naming the parameter, for what is no place of that form."""
    try:
        place: _Place = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=form)
        for part in place:
            if isinstance(part, datetime):
                part.astimezone(UTC)  # a database keeps it so; at the calendar's edges it cannot be
    except (ValueError, OverflowError, msgspec.DecodeError):
        raise Invalid(
            "The cursor is not one that this service gave.",
            faults=[Fault("take `next` of the page before, or leave it out", parameter=parameter)],
        ) from None
    return place
