"""Every error an application can raise, as the problem document that answers it.

Invariant: whatever goes wrong, the client gets a document of `libs.service.problem`, and nothing of what the request
said, nor of what is inside, is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.events.cipher import Erased
from libs.events.log import errors as log
from libs.service import problem
from libs.service.problem import Fault, Problem

logger = structlog.get_logger(__name__)

MAX_NAME = 64
"""Of a member's name in a pointer: the name may be the client's own."""

BY_STATUS: dict[int, type[Problem]] = {p.status: p for p in reversed(problem.TREE)}

_E = TypeVar("_E", bound=Exception)


def answer(error: Problem) -> Response:
    return Response(error.body(), error.status, media_type=problem.MEDIA_TYPE, headers=error.headers)


def install(app: FastAPI) -> None:
    """Answer everything that `app` raises with a problem document."""
    _on(app, Problem, lambda error: error)
    _on(app, log.Unavailable, lambda _: problem.Unavailable("What this needs cannot be reached now; nothing is lost."))
    _on(app, log.Conflict, lambda _: problem.Conflicting("Somebody changed this at the same moment: read it again."))
    _on(app, log.ClaimTaken, lambda _: problem.Conflicting("This key or reference is taken."))
    _on(app, Erased, lambda _: problem.Conflicting("This has been erased: nothing about a person can be added to it."))
    _on(app, log.EventTooLarge, lambda _: problem.TooLarge("What would be stored of this is over 512 KiB."))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(CatchAll)


def _on(app: FastAPI, kind: type[_E], make: Callable[[_E], Problem]) -> None:
    async def handle(_: Request, error: Exception) -> Response:
        return answer(make(cast(_E, error)))

    app.add_exception_handler(kind, handle)


async def _http(request: Request, error: Exception) -> Response:
    """What FastAPI and Starlette refuse by themselves."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            refusal: Problem = problem.NotFound(headers=headers)
        case 405:
            allowed = headers["Allow"] = ", ".join(sorted(_methods_here(request)))
            refusal = problem.MethodNotAllowed(
                f"{allowed or 'Another method'} is taken here, {request.method} is not.", headers=headers
            )
        case 400:
            refusal = problem.BadRequest("The body cannot be read.", headers=headers)
        case status if status in BY_STATUS and status != 500:
            refusal = BY_STATUS[status](str(error.detail), headers=headers)
        case status:
            logger.error("an error without a problem of its own", status=status)
            refusal = problem.Internal()
    return answer(refusal)


def _methods_here(request: Request) -> set[str]:
    """What the address takes, of all operations at it: the router names those of the first alone."""
    routes = [
        context.original_route
        for context in iter_route_contexts(request.app.routes)
        if isinstance(context.original_route, Route)
    ]
    found = next((route.path for route in routes if route.path_regex.match(request.scope["path"])), None)
    return {method for route in routes if route.path == found for method in route.methods or ()}


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors: Sequence[Any] = error.errors()
    if any(fault["type"] == "json_invalid" for fault in errors):
        return answer(problem.BadRequest("The body is not JSON (RFC 8259)."))
    body = error.body
    if isinstance(body, bytes):  # FastAPI left it undecoded: it is not said to be JSON
        return answer(problem.UnsupportedMedia("The body's Content-Type must be application/json."))
    faults = [_fault(fault, body) for fault in errors[: problem.MAX_FAULTS]]
    where = faults[0].pointer or faults[0].parameter or "the body"
    detail = f"{where or 'the body'}: {faults[0].detail}"
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more, see errors)"
    return answer(problem.Invalid(detail, faults=faults))


def _fault(error: dict[str, Any], body: Any) -> Fault:
    kind, text, context = error["type"], str(error["msg"]), error.get("ctx") or {}
    match kind:
        case "missing":
            text = "is required"
        case "extra_forbidden":
            text = "is not known here"
        case "union_tag_invalid":  # pydantic's own text repeats what was sent
            text = f"{context.get('discriminator', 'the kind')} must be one of {context.get('expected_tags')}"
        case "uuid_parsing" | "uuid_type":
            text = "must be a UUID"
        case "value_error" | "assertion_error":
            text = text.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        case "int_parsing_size":
            text = "is too large an integer"
    location = tuple(error["loc"])
    if location[:1] == ("body",):
        return Fault(text, pointer=pointer(location[1:], body, missing=kind == "missing"))
    return Fault(text, parameter=".".join(_short(part) for part in location[1:]) or None)


def pointer(location: Sequence[str | int], body: Any, *, missing: bool = False) -> str:
    """The JSON Pointer of a place in `body` that pydantic calls `location`.

    Pydantic's locations also name union members and validators on the way, which are no part of the body: what does not
    lead anywhere in it is left out.
    """
    parts: list[str] = []
    at = body
    for i, step in enumerate(location):
        in_list = isinstance(at, list) and isinstance(step, int) and step < len(at)
        if in_list or (isinstance(at, dict) and step in at):
            at = at[step]
        elif not (missing and i == len(location) - 1):
            continue
        parts.append(reference(step))
    return "".join("/" + part for part in parts)


def reference(step: str | int) -> str:
    """One step of a JSON Pointer (RFC 6901, section 3)."""
    return _short(step).replace("~", "~0").replace("/", "~1")


def _short(part: str | int) -> str:
    text = str(part)
    return text if len(text) <= MAX_NAME else text[:MAX_NAME] + "…"


async def answer_to(error: Exception, request: Request) -> Response:
    """What the application's own layers would answer, for who serves a request outside of them."""
    handlers = request.app.exception_handlers
    for kind in type(error).__mro__:
        if (handle := handlers.get(kind)) is not None:
            response: Response = await handle(request, error)
            return response
    logger.error("unhandled error", exc_info=error)
    return answer(problem.Internal())


class CatchAll:
    """What nothing else has caught: logged with its place in the code, answered with the request's id only."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except ClientDisconnect:
            logger.info("the client left before its request was read")
        except Exception:
            logger.exception("unhandled error")
            if begun:
                raise  # half an answer cannot be taken back: the connection must break
            await answer(problem.Internal())(scope, receive, send)
