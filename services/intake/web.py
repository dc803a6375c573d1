"""A report made whole on a web form: what happened, usually where, and who says so, unless they would rather not."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from libs.events.types.contacts import ContactReceived, ReceivedPersonal
from libs.service.bodies import Body, Name, Slug, Words
from services.intake.models import E164, Email, Identifier, Language, LocationBodies, located

Category = Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", examples=["vehicle-crime"])]
"""From the form's own list."""


class WebContact(Body):
    presented_force: Slug | None = None
    """Whose site the form stands on."""
    submission_id: Identifier | None = None
    """The form's own name for what was sent."""
    category: Category | None = None
    words: Words
    """What is reported."""
    emergency: bool = False
    anonymous: bool = False
    name: Name | None = None
    email: Email | None = None
    contact_number: E164 | None = None
    safe_contact: Name | None = None
    """How and when it is safe to make contact."""
    language: Language | None = None
    """Of the report, BCP 47."""
    locations: LocationBodies = ()
    """Of the incident, of the person who reports it, or of both."""

    @model_validator(mode="after")
    def _anonymous_names_nobody(self) -> Self:
        if self.anonymous and (self.name or self.email or self.contact_number):
            raise ValueError("an anonymous report carries no name, email or contactNumber")
        return self


def received(body: WebContact, *, gateway: str, reference: str) -> ContactReceived:
    locations, shapes = located(body.locations)
    return ContactReceived(
        reference=reference,
        channel="web",
        medium="form",
        presented_force=body.presented_force,
        call_id=body.submission_id,
        gateway=gateway,
        emergency=body.emergency,
        category=body.category,
        language=body.language,
        locations=locations,
        personal=ReceivedPersonal(
            name=body.name,
            email=body.email,
            contact_number=body.contact_number,
            safe_contact=body.safe_contact,
            words=body.words,
            shapes=shapes,
        ),
    )
