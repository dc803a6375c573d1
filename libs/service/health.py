"""Whether a process lives, whether it can do its work and what is missing for that, and its metrics. Open to anybody:
no address, no name of a person and no exception's message stands in them.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec
import structlog
from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.service import metrics

logger = structlog.get_logger(__name__)

Check: TypeAlias = Callable[[], str | Awaitable[str | None] | None]
"""What is missing, in a few words for people; None: nothing."""

CHECK_S = 2.0
"""The longest a check may take before that itself is the answer."""
CACHE_S = 0.25
"""Readiness and metrics are open to all: who asks more often than this gets the same again and costs nothing."""


class Health:
    """What a service needs to be ready. `router` serves /healthz, /readyz and /metrics."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._required: set[str] = set()
        self._missing: dict[str, str] = {}
        self._checked_at = -CACHE_S
        self._checking = asyncio.Lock()
        self.router = _router(self)

    def add(self, name: str, check: Check, *, required: bool = True) -> None:
        """Ask `check` for readiness under `name`. A check that raises, or takes over two seconds, is missing too.

        Without what is not `required` the service does its work all the same, and says that it is degraded.
        """
        self._checks[name] = check
        (self._required.add if required else self._required.discard)(name)

    async def missing(self) -> dict[str, str]:
        """What the service cannot do without and is missing now, by name."""
        return {name: text for name, text in (await self.wanting()).items() if self.requires(name)}

    def requires(self, name: str) -> bool:
        return name in self._required

    async def wanting(self) -> dict[str, str]:
        """All that is missing now, by name, required or not."""
        async with self._checking:
            if time.monotonic() - self._checked_at >= CACHE_S:
                names = list(self._checks)
                found = await asyncio.gather(*(self._ask(name) for name in names))
                self._missing = {name: text for name, text in zip(names, found, strict=True) if text is not None}
                self._checked_at = time.monotonic()
                metrics.READY.set(self._required.isdisjoint(self._missing))
            return self._missing

    async def _ask(self, name: str) -> str | None:
        try:
            answer = self._checks[name]()
            if inspect.isawaitable(answer):
                async with asyncio.timeout(CHECK_S):
                    return await answer
            return answer
        except TimeoutError:
            return f"no answer within {CHECK_S:g} s"
        except Exception as error:
            logger.exception("a readiness check failed", check=name)
            return f"its check failed ({type(error).__name__})"


def _json(status: int, document: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


def _router(health: Health) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="Whether the process lives", responses=_document("It does.", 200))
    async def healthz() -> Response:
        return _json(200, {"status": "alive"})

    @router.get(
        "/readyz",
        summary="Whether it can do its work, and what is missing for that",
        responses=_document("It can; `degraded` names what is missing all the same.", 200)
        | _document("It cannot: `missing` names each part and what it lacks.", 503),
    )
    async def readyz() -> Response:
        wanting = await health.wanting()
        parts = [{"name": name, "detail": detail} for name, detail in sorted(wanting.items())]
        missing = [part for part in parts if health.requires(part["name"])]
        degraded = [part for part in parts if not health.requires(part["name"])]
        document: dict[str, Any] = {"status": "not ready" if missing else "ready"}
        if missing:
            document["missing"] = missing
        if degraded:
            document["degraded"] = degraded
        response = _json(503 if missing else 200, document)
        if missing:
            response.headers["Retry-After"] = "1"
        return response

    shown, shown_at = b"", -math.inf

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        responses={200: {"description": "The text exposition format.", "content": {"text/plain": {}}}},
        response_class=Response,
    )
    async def metrics() -> Response:
        nonlocal shown, shown_at
        if time.monotonic() - shown_at >= CACHE_S:
            shown, shown_at = generate_latest(), time.monotonic()
        return Response(shown, media_type=CONTENT_TYPE_LATEST)

    return router


def _document(description: str, status: int) -> dict[int | str, dict[str, Any]]:
    parts: dict[str, Any] = {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", "detail"],
            "properties": {"name": {"type": "string"}, "detail": {"type": "string"}},
        },
    }
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string"}, "missing": parts, "degraded": parts},
    }
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}}}
