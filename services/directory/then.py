"""A moment of the past, as a caller gives it, and the boundaries that were in force then."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from libs.places import Atlas
from libs.service.problem import Fault, Invalid, NotFound, Unavailable
from services.directory.stored import Picture

LONDON = ZoneInfo("Europe/London")
THEN = (
    "As it was then: a time with its offset from UTC (RFC 3339), or a date, which is its beginning in Europe/London. "
    "Not later than now."
)
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2}))?")


def moment_of(written: str) -> datetime:
    """In UTC. Raises ValueError, with a sentence, for what is no moment."""
    try:
        if not _WRITTEN.fullmatch(written):
            raise ValueError
        if len(written) == len("2026-03-01"):
            return datetime.combine(date.fromisoformat(written), time(), LONDON).astimezone(UTC)
        return datetime.fromisoformat(written).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a time with its offset from UTC (RFC 3339), or a date") from None


def _checked(written: str) -> str:
    moment_of(written)
    return written


Then: TypeAlias = Annotated[str, Field(max_length=40, examples=["2026-03-01"]), AfterValidator(_checked)]


async def atlas_then(picture: Picture, at: str | None) -> Atlas:
    """Of the boundaries in force at that moment, or now. Raises Invalid for a moment to come, NotFound before the first
    boundaries, Unavailable."""
    if at is None:
        if picture.current.atlas is None:
            raise Unavailable("No boundaries are in use here yet: they have not been loaded, or are being read.")
        return picture.current.atlas
    moment = moment_of(at)
    if moment > datetime.now(UTC):
        raise Invalid("at: must not be in the future", faults=[Fault("must not be in the future", parameter="at")])
    try:
        atlas = await picture.atlas_at(moment)
    except (KeyError, ValueError):
        raise Unavailable("The boundaries of that time cannot be read here.", retry_after_s=60) from None
    if atlas is None:
        first = picture.history.activated[0].since.isoformat(timespec="seconds") if picture.history.activated else None
        detail = "No boundaries have been in force yet." if first is None else f"The first came into force at {first}."
        raise NotFound(f"No boundaries were in force at that time. {detail}")
    return atlas
