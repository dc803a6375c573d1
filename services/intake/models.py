"""What the channels share: the numbers, names of machines, times and locations a request may hold, each with its limit.

They stand beside `libs.service.bodies` and `libs.service.shapes` and keep the same invariant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import phonenumbers
from pydantic import AfterValidator, AwareDatetime, Field
from uuid_utils import uuid7

from libs.events.types import shapes
from libs.events.types.contacts import Location, LocationOf, LocationSource
from libs.service.bodies import Body
from libs.service.shapes import ShapeBody

MAX_LOCATIONS = 20
"""In one request."""

_BRITISH = re.compile(r"\+44[1-9][0-9]{9}")


def _e164(text: str) -> str:
    """A number as it may be dialled from the United Kingdom, in E.164. Its length is checked, not that it is in use."""
    if _BRITISH.fullmatch(text):  # what the network sends; the same answer as below for a twentieth of the time
        return text
    try:
        number = phonenumbers.parse(text, "GB")
    except phonenumbers.NumberParseException:
        raise ValueError("not a telephone number; leave it out if it is withheld") from None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise ValueError("a telephone number cannot have this length; leave it out if it is withheld")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _utc(moment: datetime) -> datetime:
    if not 2000 <= moment.year < 2100:
        raise ValueError("a time between 2000 and 2099 is expected")
    return moment.astimezone(UTC)


E164: TypeAlias = Annotated[
    str,
    Field(min_length=2, max_length=32, examples=["+441438555123"]),
    AfterValidator(_e164),
]
"""Read with GB as the default region, kept as E.164."""
Identifier: TypeAlias = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+( [!-~]+)*$")]
"""A name some machine gave: printable ASCII."""
Dialled: TypeAlias = Annotated[str, Field(max_length=32, pattern=r"^\+?[0-9*#]+$", examples=["999"])]
"""Digits as dialled: a short code has no E.164 form."""
Language: TypeAlias = Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
"""BCP 47."""
Email: TypeAlias = Annotated[str, Field(max_length=254, pattern=r"^[!-?A-~]+@[!-?A-~]+$")]
Time: TypeAlias = Annotated[AwareDatetime, AfterValidator(_utc)]
"""ISO 8601 with offset, 2000 to 2099; kept in UTC."""


class LocationBody(Body):
    """A place, and what it is the place of."""

    of: LocationOf
    source: LocationSource
    certainty_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """How sure the source is that the shape holds the place."""
    taken_at: Time | None = None
    """When the position was taken, if the source says."""
    shape: ShapeBody

    def located(self) -> tuple[Location, shapes.Shape]:
        """What may be kept for ever, under an id of its own, and the place itself."""
        location = Location(
            id=str(uuid7()),
            of=self.of,
            source=self.source,
            certainty_percent=self.certainty_percent,
            taken_at=self.taken_at,
        )
        return location, self.shape.shape()


LocationBodies: TypeAlias = Annotated[tuple[LocationBody, ...], Field(max_length=MAX_LOCATIONS)]


def located(bodies: Sequence[LocationBody]) -> tuple[tuple[Location, ...], dict[str, shapes.Shape]]:
    """The locations of a request, and the shape of each by its id."""
    both = [body.located() for body in bodies]
    return tuple(location for location, _ in both), {location.id: shape for location, shape in both}
