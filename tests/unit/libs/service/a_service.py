"""The tests' service as a process of its own: `python -m tests.unit.libs.service.a_service`, set by the environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import FastAPI

from libs.service import run, wire
from libs.service.access import ACCESS
from libs.service.run import Background, Health, serve, service_app
from tests.unit.libs.service.serving import RULES, ServiceSettings, router

logger = structlog.get_logger(__name__)
health = Health()


async def flushing() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        logger.info("flushed")


async def stubborn() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            logger.info("will not end")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    if os.environ.get("FAIL") == "start":
        raise RuntimeError("secret of the house")
    background = Background(health)
    background.start("appender", flushing)
    yield
    logger.info("stopping")
    await background.stop()
    if os.environ.get("FAIL") == "stop":
        await stubborn()


def main() -> None:
    settings = ServiceSettings.read()
    knobs = ((wire, "HEAD_S"), (wire, "GRACE_S"), (run, "EXIT_S"), (run, "FINISH_S"), (run, "UNREAD_S"))
    for module, name in (*knobs, (run, "KEEP_ALIVE_S")):
        setattr(module, name, float(os.environ.get(name, getattr(module, name))))
    ACCESS.update(RULES)
    app = service_app(
        title="Things", description="x", settings=settings, lifespan=lifespan, routers=[router], health=health
    )
    serve(app, settings)


if __name__ == "__main__":
    main()
