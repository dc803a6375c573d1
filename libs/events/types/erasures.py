"""Facts about erasure itself: whose key is gone, and who has obeyed. Kept for ever, and read to their end before
anything is opened. Stream and Kafka key: `erasure/` and the subject, so that these streams have no gaps on this topic.
"""

from typing import ClassVar, Literal, TypeAlias

from libs.events.types.base import Fact

TOPIC = "hueandcry.erasures"

Service: TypeAlias = Literal["intake", "router", "recording"]
"""Who keeps anything of a contact. The directory keeps nothing of anybody's."""


class SubjectErased(Fact, frozen=True, kw_only=True):
    """The subject's keys are gone: no service may open what is sealed under one, whatever `hueandcry.keys` says."""

    TYPE: ClassVar[str] = "uk.hueandcry.erasure.subject-erased.v1"
    TOPIC: ClassVar[str] = TOPIC

    erased: str
    """The subject, in all its streams: the contact's id."""


class ErasureConfirmed(Fact, frozen=True, kw_only=True):
    """A service has no key of the subject any more, and refuses every one that comes."""

    TYPE: ClassVar[str] = "uk.hueandcry.erasure.confirmed.v1"
    TOPIC: ClassVar[str] = TOPIC

    erased: str
    service: Service


FACTS: tuple[type[Fact], ...] = (SubjectErased, ErasureConfirmed)


def stream_of(subject: str) -> str:
    """The stream in which a service speaks of a subject's erasure."""
    return f"erasure/{subject}"
