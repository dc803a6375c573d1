"""Operations that take a JSON body, served without FastAPI's solving of dependencies at every request.

They are declared and documented as any other operation. Served, the body's bytes go straight to pydantic in its strict
JSON mode (a string is not a number, invalid UTF-8 is not JSON), which FastAPI's own way through Python objects cannot
do, and what an operation may depend on is fixed: its guard, its path, its headers, its body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.service import refusals
from libs.service.abreast import abreast
from libs.service.access import Allow
from libs.service.limits import Replayed
from libs.service.problem import UnsupportedMedia
from libs.service.run import Application


class JsonRoute(APIRoute):
    """For operations of the form `(request, caller, body, path strings, optional header strings) -> Response`.

    Raises TypeError when an operation of another form is declared.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        needs = self.dependant
        guards = [inner for inner in needs.dependencies if isinstance(inner.call, Allow)]
        others = (needs.query_params, needs.cookie_params, needs.dependencies[1:])
        if len(guards) != 1 or len(needs.body_params) != 1 or needs.request_param_name is None or any(others):
            raise TypeError(f"{self.name} is not of the form that a JsonRoute serves")
        operation = cast(Callable[..., Coroutine[Any, Any, Response]], self.endpoint)
        guard, caller_name = cast(Allow, guards[0].call), cast(str, guards[0].name)
        model: type[BaseModel] = needs.body_params[0].field_info.annotation  # type: ignore[assignment]
        body_name, request_name = needs.body_params[0].name, needs.request_param_name
        headers = [(field.name, field.alias.lower().encode()) for field in needs.header_params]
        segments = [field.name for field in needs.path_params]

        async def handle(request: Request) -> Response:
            await abreast()
            given: dict[str, Any] = {request_name: request, caller_name: await guard(request)}
            await abreast()
            first = dict(reversed(request.scope["headers"]))  # of a header that stands twice
            given[body_name] = read(model, first.get(b"content-type"), await request.body())
            for name, alias in headers:
                value = first.get(alias)
                given[name] = None if value is None else value.decode("latin-1")
            for name in segments:
                given[name] = request.path_params[name]
            await abreast()
            return await operation(**given)

        return handle


class JsonBytes(Response):
    """An answer that is JSON already, its header fields as they are sent: Starlette looks at each for what is given
    here."""

    def __init__(self, body: bytes, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            *headers,
        ]


class _Read(Request):
    """A request whose body `Limits` has read, if it has one: handed on as it is."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        if isinstance(receive, Replayed):
            self._body = receive.body  # where Starlette keeps what it has read


class Direct:
    """ASGI: a router's JsonRoutes without a path parameter, found by one look into a table and served by their
    handlers; all else goes to `otherwise`.

    What Starlette and FastAPI do between a request and the handler of its route is for operations of any form, and
    costs more than all that a contact needs. Errors are answered as everywhere.
    """

    def __init__(self, router: APIRouter, otherwise: ASGIApp) -> None:
        self._otherwise = otherwise
        routes = [route for route in router.routes if isinstance(route, JsonRoute) and not route.param_convertors]
        self._found = {
            (method, route.path): (route, route.get_route_handler())
            for route in routes
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._found.get((scope["method"], scope["path"]))
        if found is None:
            await self._otherwise(scope, receive, send)
            return
        scope["route"], handle = found
        request = _Read(scope, receive, send)
        try:
            response = await handle(request)
        except ClientDisconnect:
            return
        except Exception as error:
            response = await refusals.answer_to(error, request)
        await abreast()
        await response(scope, receive, send)


def serve_directly(app: Application, router: APIRouter) -> Application:
    """Serve the router's operations, which are declared in `app`, before any other is looked for."""
    app.limits.app = Direct(router, app.limits.app)
    return app


def read(model: type[BaseModel], content_type: bytes | None, body: bytes) -> BaseModel:
    """The body as the model. Raises UnsupportedMedia, or RequestValidationError naming each fault's place."""
    if content_type is None or content_type.partition(b";")[0].strip().lower() != b"application/json":
        raise UnsupportedMedia("The body's Content-Type must be application/json.")
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        for fault in faults:
            fault["loc"] = ("body", *fault["loc"])
        well_formed = not any(fault["type"] == "json_invalid" for fault in faults)
        raise RequestValidationError(faults, body=json.loads(body) if well_formed else None) from None
