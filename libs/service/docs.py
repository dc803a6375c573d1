"""The page at /docs: Swagger UI from a package, so that nothing is loaded from elsewhere, under a strict policy."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response

from libs.service.problem import NotFound

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
START = """\
"use strict";
SwaggerUIBundle({
  url: new URL("../openapi.json", document.currentScript.src).href,
  dom_id: "#documentation",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  docExpansion: "list",
});
"""
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="documentation"></div>
<noscript>The OpenAPI document is at <a href="openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""


@cache
def asset(name: str) -> bytes:
    if name == "start.js":
        return START.encode()
    return (files("fastapi_swagger.resources") / name).read_bytes()


def router(title: str) -> APIRouter:
    """/docs and the files it needs."""
    page = PAGE.format(title=escape(title)).encode()
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def docs() -> Response:
        headers = {"Content-Security-Policy": POLICY}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    @routes.get("/docs/{name}")
    async def docs_asset(name: str) -> Response:
        kind = "text/javascript; charset=utf-8" if name == "start.js" else ASSETS.get(name)
        if kind is None:
            raise NotFound
        return Response(asset(name), media_type=kind, headers={"Cache-Control": "max-age=3600"})

    return routes
