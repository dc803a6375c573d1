"""A conversation in writing: webchat, an app, social media, e-mail, text relay, SMS. What follows comes as messages.

Text relay and SMS also reach the police over the emergency and the non-emergency line, and then say which.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from libs.events.types.contacts import ContactReceived, Line, ReceivedPersonal
from libs.service.bodies import Body, Name, Slug, Words
from services.intake.models import (
    E164,
    Dialled,
    Email,
    Identifier,
    Language,
    LocationBodies,
    located,
)
from services.intake.web import Category

OVER_A_LINE = ("text-relay", "sms")


class OnlineContact(Body):
    medium: Literal["chat", "app", "social", "email", "text-relay", "sms"]
    line: Line | None = None
    """Of text relay and SMS only."""
    presented_force: Slug | None = None
    """Whose page, account or number the person wrote to."""
    dialled_number: Dialled | None = None
    """Of text relay and SMS only."""
    conversation_id: Identifier | None = None
    """The platform's own name for the conversation."""
    category: Category | None = None
    words: Words | None = None
    """The first of what was written, if there is any yet."""
    emergency: bool = False
    anonymous: bool = False
    handle: Name | None = None
    """The person's name on the medium."""
    name: Name | None = None
    email: Email | None = None
    calling_number: E164 | None = None
    """The number a text came from."""
    contact_number: E164 | None = None
    safe_contact: Name | None = None
    """How and when it is safe to make contact."""
    language: Language | None = None
    locations: LocationBodies = ()

    @model_validator(mode="after")
    def _fits_its_medium(self) -> Self:
        if self.anonymous and (self.name or self.email or self.calling_number or self.contact_number):
            raise ValueError("an anonymous contact carries no name, email, callingNumber or contactNumber")
        if (self.line or self.dialled_number) and self.medium not in OVER_A_LINE:
            raise ValueError("only text-relay and sms come over a line")
        return self


def received(body: OnlineContact, *, gateway: str, reference: str) -> ContactReceived:
    """A text to 999 cannot wait, whoever writes."""
    locations, shapes = located(body.locations)
    return ContactReceived(
        reference=reference,
        channel="online",
        medium=body.medium,
        line=body.line,
        presented_force=body.presented_force,
        dialled_number=body.dialled_number,
        call_id=body.conversation_id,
        gateway=gateway,
        emergency=body.emergency or body.line == "999",
        category=body.category,
        language=body.language,
        locations=locations,
        personal=ReceivedPersonal(
            calling_number=body.calling_number,
            contact_number=body.contact_number,
            name=body.name,
            email=body.email,
            handle=body.handle,
            safe_contact=body.safe_contact,
            words=body.words,
            shapes=shapes,
        ),
    )
