"""The forms that values in an alliance file have."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


def like(pattern: str, what: str) -> AfterValidator:
    """Text of this form, and what to call it to people."""

    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(f"this must be {what}")
        return value

    return AfterValidator(check)


Id = Annotated[
    str,
    like(r"(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*", "lower-case letters, digits and hyphens, at most 64 (as north-999)"),
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Domain = Annotated[str, like(r"(?=.{1,253}$)[a-z0-9-]+(\.[a-z0-9-]+)*", "a domain name (as queues.example.org)")]


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
