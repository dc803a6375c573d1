"""The alliance at the moment that a request asks about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from fastapi import Depends
from starlette.requests import Request

from libs.alliance import Alliance
from libs.service.at import At, AtAnyTime
from libs.service.problem import NotFound, Unavailable
from services.directory.stored import Picture


def alliance_now(request: Request) -> Alliance:
    """The picture in force. Raises Unavailable until an alliance is known."""
    picture: Picture = request.app.state.picture
    if picture.current.defined is None:
        raise Unavailable("No alliance is known here yet: it has not been loaded, or is being read.")
    return picture.current


def known_at(request: Request, moment: datetime | None) -> Alliance:
    """As it was then, without policies and atlas; None: as it is. Raises NotFound for a moment without an alliance."""
    now = alliance_now(request)
    if moment is None:
        return now
    picture: Picture = request.app.state.picture
    then = picture.told.at(moment)
    if then.defined is None:
        raise NotFound("At that moment no alliance was known here.")
    return then


def alliance_then(request: Request, at: At = None) -> Alliance:
    return known_at(request, at)


def moment_of(at: AtAnyTime = None) -> datetime:
    return at or datetime.now(UTC)


Now: TypeAlias = Annotated[Alliance, Depends(alliance_now)]
Then: TypeAlias = Annotated[Alliance, Depends(alliance_then)]
"""As it was `at` the moment asked about; as it is, without one."""
Moment: TypeAlias = Annotated[datetime, Depends(moment_of)]
"""The moment asked about, past or future; now, without one."""
