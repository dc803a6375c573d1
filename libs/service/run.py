"""How every service starts, serves and stops.

Stopping (SIGTERM or SIGINT): no new connections; requests that are being served are finished (5 s); then the service's
own lifespan ends, which stops its loops in reverse order and flushes; the process exits with 0 within ten seconds.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from socket import IPPROTO_TCP, TCP_USER_TIMEOUT, socket

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.service import access, docs, limits, logs, observe, openapi, refusals
from libs.service.background import Background
from libs.service.health import Health
from libs.service.issuer import Issuer
from libs.service.rates import Rates
from libs.service.seal import Sealed
from libs.service.settings import Settings
from libs.service.tokens import Verifier
from libs.service.wire import UNREAD_S, BoundedProtocol

__all__ = ["Background", "Health", "serve", "service_app"]

logger = structlog.get_logger(__name__)

FINISH_S = 5
"""For requests that are being served when the process is told to stop."""
KEEP_ALIVE_S = 75
"""How long a connection may be idle: over a load balancer's usual minute, so that it, not we, closes it."""
SPARE_FILES = 256
"""Open files that a process needs beside its clients' connections."""
EXIT_S = 9.5
"""After this a process that was told to stop goes, whatever still hangs."""


class Application(FastAPI):
    """FastAPI's application with what every request passes first around it: `observe`, `limits`, then FastAPI itself,
    unless something stands before it (`limits.app`)."""

    limits: limits.Limits
    outer: ASGIApp

    def bound(self, *, max_body_bytes: int, deadline_s: float, files: Mapping[tuple[str, str], float]) -> None:
        inner = super().__call__
        self.limits = limits.Limits(inner, max_body_bytes=max_body_bytes, deadline_s=deadline_s, files=files)
        self.outer = observe.Observe(self.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await (self.outer if scope["type"] == "http" else super().__call__)(scope, receive, send)


def service_app(
    *,
    title: str,
    description: str,
    settings: Settings,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    routers: Sequence[APIRouter],
    health: Health,
    version: str = "0.1.0",
    files: Mapping[tuple[str, str], float] | None = None,
) -> Application:
    """The application of a service: its routers, with tokens, problems, limits, health, metrics and documents around.

    `files`: the operations that take in a file themselves, by method and path, and how many seconds each may take.
    Operation ids are the functions' names. Raises RuntimeError where an operation has no rule in `access.ACCESS`.
    """
    issuer = Issuer(
        settings.oidc_issuer, allow_http=settings.oidc_allow_http, retired_key_s=settings.oidc_retired_key_s
    )
    health.add("token issuer", issuer.trouble)

    @asynccontextmanager
    async def whole(app: FastAPI) -> AsyncIterator[None]:
        background = Background(health)
        background.start("token issuer's keys", issuer.keep)
        try:
            async with lifespan(app):
                yield
        except Exception:
            logger.exception("could not start or stop")
            raise
        finally:
            await background.stop()

    app = Application(
        title=title,
        description=description,
        version=version,
        lifespan=whole,
        openapi_url=None,  # openapi.router
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        generate_unique_id_function=_function_name,
        redirect_slashes=False,
    )
    app.state.rates = Rates(rate_per_s=settings.client_rate_per_s, at_once=settings.client_at_once)
    app.state.verifier = Verifier(issuer, audience=settings.oidc_audience)
    for router in routers:
        app.include_router(router)
    app.include_router(health.router)
    app.include_router(docs.router(title))
    app.include_router(openapi.router(app))
    wrong = access.check_complete(app)
    if wrong:
        raise RuntimeError("not every operation is guarded: " + "; ".join(wrong))
    app.add_middleware(Sealed)
    refusals.install(app)
    app.bound(max_body_bytes=settings.max_body_bytes, deadline_s=settings.request_timeout_s, files=files or {})
    app.openapi = openapi.maker(app)  # type: ignore[method-assign]
    return app


def _function_name(route: APIRoute) -> str:
    return route.name


class _Server(uvicorn.Server):
    """uvicorn's server, which tunes the collector once everything is up and leaves in time."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                # Each connection inherits it: whoever does not read an answer does not keep it for ever.
                with socket(fileno=os.dup(listening.fileno())) as same:
                    same.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, int(UNREAD_S * 1000))
        # What start-up made stays for good: not looked at again, a young collection is rare and short (p99 of
        # POST to commit 69 ms before, 10 ms after).
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        last_resort = threading.Timer(EXIT_S, _leave)
        last_resort.daemon = True
        last_resort.start()
        await super().shutdown(sockets)
        last_resort.cancel()


def _leave() -> None:
    logger.critical("did not stop in time", within_s=EXIT_S)
    sys.stdout.flush()
    os._exit(70)


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve until told to stop. Exits the process where it cannot start (code 3: the log says why)."""
    logs.configure(settings.source.strip("/"), settings.log_level)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=BoundedProtocol.with_limits(
            connections_per_peer=settings.connections_per_peer, connections=_room_for(settings.connections)
        ),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # X-Forwarded-* is what anybody writes
        timeout_keep_alive=int(KEEP_ALIVE_S),
        timeout_graceful_shutdown=FINISH_S,
        backlog=2048,
    )
    # uvicorn raises the signal again once it has stopped, which would end the process by it: here a stop is a success.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _already_stopping)
    _Server(config).run()


def _room_for(connections: int) -> int:
    """So many, or as many as the process may have open files for: a connection too many is then refused in words, and
    not by an `accept` that fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    room = max(soft - SPARE_FILES, 1)
    logger.warning("fewer open files are allowed than CONNECTIONS asks for", connections=room, files=soft)
    return room


def _already_stopping(number: int, frame: object) -> None:
    logger.info("stopped", signal=signal.Signals(number).name)
