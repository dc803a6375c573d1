"""The query parameter `at`: the moment that is asked about. One form for all operations that know what was.

Invariant: what an operation is given is in UTC; and where it asks for what was known (`At`), it is not in the future.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, TypeAlias

from fastapi import Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from libs.london import start_of

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DAY.pattern + r"[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})")
_CLOCKS_DIFFER = timedelta(seconds=5)
"""A client's `now` is never refused because its clock is a little ahead."""


def instant(text: str) -> datetime:
    """A time with its offset (RFC 3339), or a date, which is its start in London. In UTC. Raises ValueError."""
    try:
        if _DAY.fullmatch(text):
            return start_of(date.fromisoformat(text))
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None
    except ValueError:
        raise ValueError("names no day or no time that there is") from None
    raise ValueError("must be a date, or a time with its offset from UTC (RFC 3339; a + is written %2B)")


def _given(value: object) -> object:
    return instant(value) if isinstance(value, str) else value


def _past(value: datetime | None) -> datetime | None:
    if value is not None and value > datetime.now(UTC) + _CLOCKS_DIFFER:
        raise ValueError("must not be in the future")
    return value


_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}, {"type": "null"}]}
)
_FORM = "A time with its offset from UTC (RFC 3339), or a date: its start in Europe/London."

AS_THEN = f"As it was then; not in the future. {_FORM}"
Past: TypeAlias = Annotated[datetime | None, BeforeValidator(_given), AfterValidator(_past), _SCHEMA]
"""A moment that is not in the future: the member of a model."""
At: TypeAlias = Annotated[Past, Query(description=AS_THEN)]
"""As it was then. A parameter `at: At = None`."""
AtAnyTime: TypeAlias = Annotated[
    datetime | None,
    BeforeValidator(_given),
    _SCHEMA,
    Query(description=f"What holds then, by what is known now. {_FORM}"),
]
"""What holds then, past or future."""
