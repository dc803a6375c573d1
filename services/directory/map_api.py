"""The page at `/`, the files that it is made of, and the areas that it draws.

Invariants
  * The page is the same for everybody and tells nothing: what it shows it asks for with its visitor's own token.
  * It loads from this service alone, and runs nothing that does not stand in a file of it: the policy below.
  * Only the files that are named here are served, whatever a path says.
"""

from __future__ import annotations

import asyncio
import json
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from libs.places.grid import to_wgs84
from libs.places.settlements import settlements
from libs.service.access import allow
from libs.service.problem import NotFound, Unavailable, responses
from services.directory import drawn
from services.directory.generation import InForce
from services.directory.kept import Kept, answer, keep
from services.directory.moments import Now
from services.directory.stored import Picture

router = APIRouter(prefix="/v1", tags=["directory"])
pages = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
FOLDER = Path(__file__).parent / "pages"
LEAFLET = FOLDER / "node_modules" / "leaflet" / "dist"
"""Brought there by npm, from `package-lock.json` beside."""
SCRIPT, STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
LARGE = 10_000
"""People of a place that the map names."""


class PageFile(NamedTuple):
    path: Path
    media_type: str


FILES = {
    "map.js": PageFile(FOLDER / "map.js", SCRIPT),
    "draw.js": PageFile(FOLDER / "draw.js", SCRIPT),
    "ask.js": PageFile(FOLDER / "ask.js", SCRIPT),
    "tell.js": PageFile(FOLDER / "tell.js", SCRIPT),
    "map.css": PageFile(FOLDER / "map.css", STYLE),
    "icon.svg": PageFile(FOLDER / "icon.svg", "image/svg+xml"),
    "leaflet.js": PageFile(LEAFLET / "leaflet-src.esm.js", SCRIPT),
    "leaflet.css": PageFile(LEAFLET / "leaflet.css", STYLE),
}
PAGE = PageFile(FOLDER / "index.html", "text/html; charset=utf-8")
NOT_INSTALLED = (
    "The map library has not been installed here: `npm ci` in services/directory/pages brings it, or `make run`."
)

_files: dict[Path, Kept] = {}


def _file(file: PageFile) -> Kept:
    """Read once. Raises Unavailable for one that npm has not brought, which may still come."""
    if (known := _files.get(file.path)) is not None:
        return known
    try:
        content = file.path.read_bytes()
    except FileNotFoundError:
        raise Unavailable(NOT_INSTALLED) from None
    return _files.setdefault(file.path, keep(content, file.media_type))


@pages.get("/")
def page(request: Request) -> Response:
    return answer(request, _file(PAGE), cache_control="no-cache", headers={"Content-Security-Policy": POLICY})


@pages.get("/pages/{name}")
def page_file(request: Request, name: str) -> Response:
    if name == "towns.json":
        return answer(request, _towns(), cache_control="no-cache")
    file = FILES.get(name)
    if file is None:
        raise NotFound("The page has no such file.")
    return answer(request, _file(file), cache_control="no-cache")


@cache
def _towns() -> Kept:
    """Name, latitude, longitude and people of each town, the largest first; of GeoNames, under CC BY 4.0."""
    large = sorted((one for one in settlements() if one.population >= LARGE), key=lambda one: -one.population)
    rows = [
        [one.name, *(round(degrees, 4) for degrees in to_wgs84(one.easting, one.northing)), one.population]
        for one in large
    ]
    return keep(json.dumps(rows, separators=(",", ":")).encode(), "application/json")


class Tolerance(IntEnum):
    """For what a drawing is close enough, in metres."""

    TOWN = 20
    FORCE = 100
    COUNTRY = 500


class GeoJson(Response):
    media_type = "application/geo+json"


_drawn: WeakKeyDictionary[InForce, dict[Tolerance, asyncio.Task[Kept]]] = WeakKeyDictionary()


def _draw(generation: InForce, tolerance_m: Tolerance) -> Kept:
    return keep(drawn.draw(generation, tolerance_m), GeoJson.media_type)


async def _drawing(generation: InForce, tolerance_m: Tolerance) -> Kept:
    """Drawn once, in a thread; whoever asks meanwhile waits for the same and holds no thread of its own."""
    tasks = _drawn.setdefault(generation, {})
    task = tasks.get(tolerance_m)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = tasks[tolerance_m] = asyncio.create_task(asyncio.to_thread(_draw, generation, tolerance_m))
    return await asyncio.shield(task)


_SHOWN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A FeatureCollection (RFC 7946), a feature a force. Its members beside: `generation`, "
        "`attribution` (to be shown with it), `accuracyMetres`, `toleranceMetres` and `note`. `nameAt` is where there "
        "is room for the force's name.",
        "content": {GeoJson.media_type: {"schema": {"type": "object", "required": ["type", "generation", "features"]}}},
    },
    304: {"description": "As `If-None-Match` has it."},
}


@router.get(
    "/boundaries/areas",
    summary="The areas in use, to be drawn",
    description="Simplified for display: who owns a place, `/v1/locate` says. Neighbours are simplified together. The "
    "ETag changes with the generation alone.",
    dependencies=[Depends(allow("get_areas"))],
    response_class=GeoJson,
    responses={**_SHOWN, **responses(503)},
)
async def get_areas(
    request: Request,
    now: Now,
    tolerance_m: Annotated[
        Tolerance, Query(description="About how far a line may be from the one that decides, metres.")
    ] = Tolerance.FORCE,
) -> Response:
    picture: Picture = request.app.state.picture
    if picture.in_force is None:
        raise Unavailable("No boundaries are in use here yet: they have not been loaded, or are being read.")
    kept = await _drawing(picture.in_force, tolerance_m)
    return answer(request, kept, cache_control="private, no-cache")
