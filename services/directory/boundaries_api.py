"""Boundaries by generation: imported, checked, shown, activated, and gone back to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from libs.events.log.errors import Conflict
from libs.service.access import allow, may_know
from libs.service.bodies import Body, Name
from libs.service.caller import Caller
from libs.service.context import current_traceparent
from libs.service.problem import Conflicting, Fault, Forbidden, Internal, Invalid, NotFound, Unavailable, responses
from libs.service.scopes import Belongs
from libs.service.upload import uploaded
from services.directory import importing
from services.directory.alliance_file import Unusable
from services.directory.apart import Busy, Failed
from services.directory.boundaries import GENERATION_NAME, Blocked, GenerationChanged, NoSuchGeneration, Who
from services.directory.boundaries_answers import GenerationAnswer, GenerationListed, listed, shown
from services.directory.importing import File, Store
from services.directory.moments import Now
from services.directory.stored import Picture

router = APIRouter(prefix="/v1/boundaries", tags=["boundaries"])

IMPORT_S = 420.0
"""How long an import may take: the file's way here, and its reading."""
MAX_FILE_BYTES = 256 * 1024 * 1024
_FILE = {
    "schema": {"type": "string", "format": "binary", "description": "GeoJSON, KML, GeoPackage or a zipped Shapefile."}
}
_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}, "description": "The map."}
}
_THERE: dict[int | str, dict[str, Any]] = {200: {"model": GenerationAnswer, "description": "It is there already."}}

NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
Named: TypeAlias = Annotated[str, Path(pattern=NAME, description="The generation's name.")]


class Activation(Body):
    """Why, and whether what the report says against it is known and meant."""

    reason: Name | None = None
    """Kept with the activation. It must name nobody."""
    override: Annotated[bool, Field(strict=True)] = False
    """Activate it though its report forbids it; with a `reason`."""


@router.put(
    "",
    summary="Import boundaries from a file",
    description="The file is read, checked and kept, and rules nothing until it is activated. Its areas bear "
    "the forces' codes or names; it is in WGS 84 or on the British National Grid.",
    status_code=201,
    responses=_THERE | responses(409, 413, 422),
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": _FILE}}},
)
async def import_boundaries(
    request: Request,
    response: Response,
    now: Now,
    caller: Annotated[Caller, Depends(allow("import_boundaries"))],
    generation: Annotated[str, Query(pattern=NAME, description="Their name for ever.", examples=["pfa-2024-bgc"])],
    source: Annotated[
        str, Query(min_length=1, max_length=1_000, description="Whose they are, as their licence asks it to be said.")
    ],
    accuracy_metres: Annotated[
        float,
        Query(
            alias="accuracyMetres",
            ge=0.1,
            le=5_000,
            allow_inf_nan=False,
            description="How far from a drawn border the truth may lie.",
        ),
    ],
) -> GenerationAnswer:
    _refuse_unless("import_boundaries", caller)
    if not re.fullmatch(GENERATION_NAME, generation):
        raise Invalid(
            "generation: is the address of all", faults=[Fault("is the address of all", parameter="generation")]
        )
    store: Store = request.app.state.boundaries
    if store.apart.busy:
        raise _busy()
    with _problems():
        async with uploaded(request, MAX_FILE_BYTES) as path:
            file = File(str(path), generation, _one_line(source), accuracy_metres)
            new = await importing.import_file(store, file, _who(caller))
    response.status_code = 201 if new else 200
    return _shown(request, generation)


@router.get("/generations", summary="Every generation", dependencies=[Depends(allow("list_generations"))])
async def list_generations(request: Request, now: Now) -> list[GenerationListed]:
    """Imported, in force, and of the past, in the order in which they were first heard of."""
    history = _picture(request).history
    return [listed(history, name) for name in history.names]


@router.get(
    "/{generation}",
    summary="One generation, with its report",
    dependencies=[Depends(allow("show_generation"))],
    responses=responses(404),
)
async def show_generation(request: Request, now: Now, generation: Named) -> GenerationAnswer:
    return _shown(request, generation)


@router.get(
    "/{generation}/picture",
    summary="A map of what a generation changes",
    description="Against the boundaries that were in force before it. PNG.",
    dependencies=[Depends(allow("show_generation_picture"))],
    response_class=Response,
    responses=_PNG | responses(404),
)
async def show_generation_picture(request: Request, now: Now, generation: Named) -> Response:
    with _problems():
        png = await importing.picture(request.app.state.boundaries, generation)
    return Response(png, media_type="image/png")


@router.post(
    "/{generation}/activate",
    summary="Put a generation in force",
    description="For everybody, at once; one of the past too. 409 names what its report says against it: `override` "
    "with a `reason` activates it all the same. For what is in force already nothing is said.",
    responses=responses(404, 409),
)
async def activate_generation(
    request: Request,
    now: Now,
    caller: Annotated[Caller, Depends(allow("activate_generation"))],
    generation: Named,
    body: Activation | None = None,
) -> GenerationAnswer:
    asked = body or Activation()
    _refuse_unless("activate_generation", caller)
    if asked.override and asked.reason is None:
        detail = "is required with override"
        raise Invalid(f"reason: {detail}", faults=[Fault(detail, pointer="/reason")])
    with _problems():
        await importing.activate(
            request.app.state.boundaries, generation, _who(caller), asked.reason, override=asked.override
        )
    return _shown(request, generation)


def _refuse_unless(operation: str, caller: Caller) -> None:
    if not may_know(operation, caller, Belongs.to(None)):
        raise Forbidden("The boundaries are all forces' alike: your token needs the claim `alliance`.")


@contextmanager
def _problems() -> Iterator[None]:
    """What importing and activating refuse, as problems."""
    try:
        yield
    except Unusable as refusal:
        raise Invalid(str(refusal)) from None
    except NoSuchGeneration:
        raise _unknown() from None
    except Blocked as refusal:
        detail = f"{refusal} Activate it with override and a reason, if that is meant."
        raise Conflicting(detail, blocking=list(refusal.blocking)) from None
    except GenerationChanged as refusal:
        raise Conflicting(str(refusal)) from None
    except Conflict:
        raise Conflicting("Others are changing the boundaries at this moment: ask again.") from None
    except Busy:
        raise _busy() from None
    except Failed:
        raise Internal from None


def _busy() -> Unavailable:
    close = {"Connection": "close"}
    return Unavailable("Another file or picture is being worked on: one at a time.", retry_after_s=5, headers=close)


def _unknown() -> NotFound:
    return NotFound("No boundaries have this name: GET /v1/boundaries/generations lists those that are known.")


def _shown(request: Request, generation: str) -> GenerationAnswer:
    history = _picture(request).history
    if history.of(generation) is None:
        raise _unknown()
    return shown(history, generation)


def _picture(request: Request) -> Picture:
    picture: Picture = request.app.state.picture
    return picture


def _who(caller: Caller) -> Who:
    return Who(caller.subject, current_traceparent())


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
