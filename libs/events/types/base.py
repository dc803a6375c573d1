"""What every fact is: a frozen record with a type, a topic, and all that identifies a person under `personal`.

Invariant: a fact's `TYPE` never changes meaning. A change that an old reader could misread is a new type (`.v2`).
Members are added with defaults only; `libs.events.schemas` checks that.
"""

from typing import ClassVar

import msgspec


class Fact(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something that happened. On the wire: a JSON object with camelCase members, defaults left out."""

    TYPE: ClassVar[str]
    """CloudEvents `type`, for instance `uk.hueandcry.contact.received.v1`."""
    TOPIC: ClassVar[str]
    """The Kafka topic the fact is published on."""


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A piece of a fact."""
