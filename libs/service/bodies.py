"""What requests and answers are made of: the base of every body, and the words and names that they hold.

Invariant: a body that these models accept can be stored and carried. No number in it is infinite, every string has a
greatest length, no text holds a control character, and members that are not known are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, TypeAlias, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL_OR_BREAK = re.compile(r"[\x00-\x1f\x7f]")


class Body(BaseModel):
    """Of a request. Members are camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class Answer(BaseModel):
    """Of an answer. Members are camelCase; nulls are spelt out: an owning force of null is the alliance's own."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        from_attributes=True,
        use_attribute_docstrings=True,
    )

    def json_bytes(self) -> bytes:
        return self.__pydantic_serializer__.to_json(self, by_alias=True)


_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE)


def _written(value: object) -> object:
    """A number is no time: nobody says of which epoch."""
    if not isinstance(value, str) or not _WRITTEN.fullmatch(value):
        raise ValueError("must be a time with its offset from UTC (RFC 3339)")
    return value


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A time as RFC 3339 writes it."""


class _Personal:
    """Marks a member of an answer that says who or where a person is: `Annotated[str, PERSONAL]`. An operation that
    may answer with one leaves a trace (`libs.service.trace`), or its service does not start."""


PERSONAL: Final = _Personal()


def personal_members(model: Any, _seen: frozenset[Any] = frozenset()) -> Iterator[str]:
    """The names of the members of an answer's model, and of all that it holds, that are marked as personal."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        if model in _seen:
            return
        for name, field in model.model_fields.items():
            if PERSONAL in field.metadata:
                yield f"{model.__name__}.{name}"
            yield from personal_members(field.annotation, _seen | {model})
    else:
        for inner in get_args(model):
            yield from personal_members(inner, _seen)


def _legible(text: str) -> str:
    """A person's words are not refused for a stray control character: it is shown as what it is, unreadable."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _one_line(text: str) -> str:
    return _CONTROL_OR_BREAK.sub("\N{REPLACEMENT CHARACTER}", text)


Slug: TypeAlias = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", examples=["bedfordshire"])]
"""An id that people gave: a force's or a queue's, of the form that an alliance's file allows."""
Words: TypeAlias = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_legible)]
"""What a person said or wrote, in as many lines as it takes."""
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
"""One line that a person wrote: a name, a street."""
