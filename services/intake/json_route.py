"""Operations that take a JSON body, served without FastAPI's solving of dependencies at every request.

They are declared and documented as any other operation. Served, the body's bytes go straight to pydantic in its strict
JSON mode (a string is not a number, invalid UTF-8 is not JSON), which FastAPI's own way through Python objects cannot
do, and what an operation may depend on is fixed: its guard, its path, its headers, its body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from libs.service.access import Allow
from libs.service.problem import UnsupportedMedia


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
        headers = [(field.name, field.alias) for field in needs.header_params]
        segments = [field.name for field in needs.path_params]

        async def handle(request: Request) -> Response:
            given: dict[str, Any] = {request_name: request, caller_name: await guard(request)}
            given[body_name] = read(model, request.headers.get("content-type"), await request.body())
            for name, alias in headers:
                given[name] = request.headers.get(alias)
            for name in segments:
                given[name] = request.path_params[name]
            return await operation(**given)

        return handle


class Direct(BaseRoute):
    """A router's JsonRoutes without a path parameter, found by one look into a table and served by their handlers.

    What FastAPI does between finding a route and calling its handler is for operations of any form, and costs more than
    all that a contact needs. Errors are answered as everywhere, outside of the routes.
    """

    def __init__(self, router: APIRouter) -> None:
        routes = [route for route in router.routes if isinstance(route, JsonRoute) and not route.param_convertors]
        self._found = {
            (method, route.path): (route, route.get_route_handler())
            for route in routes
            for method in route.methods or ()
        }

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = self._found.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            return Match.NONE, {}
        return Match.FULL, {"route": found[0], "endpoint": found[0].endpoint, "handler": found[1]}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await scope["handler"](Request(scope, receive, send))
        await response(scope, receive, send)


def serve_directly(app: FastAPI, router: APIRouter) -> FastAPI:
    """Serve the router's operations, which are declared in `app`, before any other is looked for."""
    app.router.routes.insert(0, Direct(router))
    return app


def read(model: type[BaseModel], content_type: str | None, body: bytes) -> BaseModel:
    """The body as the model. Raises UnsupportedMedia, or RequestValidationError naming each fault's place."""
    if content_type is None or content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMedia("The body's Content-Type must be application/json.")
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        for fault in faults:
            fault["loc"] = ("body", *fault["loc"])
        well_formed = not any(fault["type"] == "json_invalid" for fault in faults)
        raise RequestValidationError(faults, body=json.loads(body) if well_formed else None) from None
