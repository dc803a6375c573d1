"""The OpenAPI document: what FastAPI makes, with who may call (from `libs.service.access`) and the problems."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from threading import Lock
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response

from libs.service.access import ACCESS
from libs.service.problem import MEDIA_TYPE, SCHEMA, TREE, responses

GUARDED = (401, 403, 422, 429, 503)
"""What every operation that needs a token may answer besides its own."""
ALWAYS = (400, 500)
WITH_BODY = (413, 415, 422)
METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options", "trace"})


def maker(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """For `app.openapi`: the document, made once."""
    making = Lock()

    def document() -> dict[str, Any]:
        with making:
            if app.openapi_schema is None:
                app.openapi_schema = _made(app)
            return app.openapi_schema

    return document


def _made(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=app.openapi_version,
        summary=app.summary,
        description=app.description + "\n\n" + _problems(),
        routes=app.routes,
        tags=app.openapi_tags,
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    _complete(document)
    return document


def router(app: FastAPI) -> APIRouter:
    """/openapi.json."""
    routes = APIRouter(include_in_schema=False)

    @cache
    def written() -> bytes:
        return bytes(JSONResponse(app.openapi()).body)

    @routes.get("/openapi.json")
    async def openapi() -> Response:
        # In a thread: making it takes a third of a second, and contacts arrive meanwhile.
        return Response(await asyncio.to_thread(written), media_type="application/json")

    return routes


def _complete(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = SCHEMA
    for operation in _operations(document):
        rule = ACCESS.get(operation.get("operationId", ""))
        statuses = list(ALWAYS)
        if rule is not None:
            statuses += GUARDED
            who = "**Who may call,** and what they are shown:\n\n" + "\n".join(f"* {line}" for line in rule.sentences())
            operation["x-access"] = {role: scope.name.lower() for role, scope in rule.scopes.items()}
            operation["description"] = "\n\n".join(filter(None, (operation.get("description"), who)))
        if "requestBody" in operation:
            statuses += WITH_BODY
        answers = operation["responses"]
        if "422" in answers and MEDIA_TYPE not in answers["422"].get("content", {}):
            answers["422"] = responses(422)[422]  # FastAPI's own form of it, which we never send
        for status in statuses:
            answers.setdefault(str(status), responses(status)[status])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        for method, operation in path.items():
            if method in METHODS:
                yield operation


def _problems() -> str:
    """The whole tree, for people."""
    lines = ["## Problems", "", "Every error is a problem document (RFC 9457), of one of these types:", ""]
    lines += [f"* `{problem.status}` `{problem.slug}`: {' '.join((problem.__doc__ or '').split())}" for problem in TREE]
    return "\n".join(lines)
