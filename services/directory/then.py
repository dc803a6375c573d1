"""The boundaries that were in force at a moment of the past."""

from __future__ import annotations

from datetime import datetime

from libs.places import Atlas
from libs.service.problem import NotFound, Unavailable
from services.directory.stored import Picture


async def atlas_then(picture: Picture, moment: datetime | None) -> Atlas:
    """Of the boundaries in force at that moment; None: now. Raises NotFound before the first ones, Unavailable."""
    if moment is None:
        if picture.current.atlas is None:
            raise Unavailable("No boundaries are in use here yet: they have not been loaded, or are being read.")
        return picture.current.atlas
    try:
        then = await picture.in_force_at(moment)
    except (KeyError, ValueError):
        raise Unavailable("The boundaries of that time cannot be read here.", retry_after_s=60) from None
    if then is None:
        first = picture.history.activated[0].since.isoformat(timespec="seconds") if picture.history.activated else None
        detail = "No boundaries have been in force yet." if first is None else f"The first came into force at {first}."
        raise NotFound(f"No boundaries were in force at that time. {detail}")
    return then.atlas
