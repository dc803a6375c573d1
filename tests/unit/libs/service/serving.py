"""A small service for these tests, made as every service is made, called in-process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import httpx
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.responses import Response
from pydantic import Field, field_validator

from libs.events.log import errors as log
from libs.service.access import ACCESS, Caller, Rule, Scope, allow, only
from libs.service.bodies import Body
from libs.service.health import Health
from libs.service.problem import Conflicting, NotFound, responses
from libs.service.run import service_app
from libs.service.settings import Settings
from tests.unit.libs.service.issuing import LocalIssuer

RULES = {
    name: Rule(only(Scope.CONTACT, "handler", "supervisor")) for name in ("make_thing", "get_thing", "fail", "wait")
}


class ServiceSettings(Settings):
    source: str = "/things"
    port: int = 0
    database_url: str = "postgresql://nobody@127.0.0.1:1/nothing"
    kafka_bootstrap_servers: str = "127.0.0.1:1"


class Circle(Body):
    kind: Literal["circle"]
    radius_m: float = Field(gt=0, allow_inf_nan=False)


class Point(Body):
    kind: Literal["point"]
    lat: float


class Thing(Body):
    name: str = Field(max_length=50)
    number: int = 0
    places: list[Annotated[Circle | Point, Field(discriminator="kind")]] = []
    either: int | list[int] = 0

    @field_validator("name")
    @classmethod
    def _is_said_well(cls, value: str) -> str:
        if value == "unsayable":
            raise ValueError("must be a name that can be said")
        return value


FAILURES: dict[str, Callable[[], Exception]] = {
    "crash": lambda: RuntimeError("secret of the house"),
    "group": lambda: ExceptionGroup("secret", [ValueError("secret of the house")]),
    "not-found": NotFound,
    "conflict": lambda: Conflicting("It moved.", expected=3),
    "log-unavailable": lambda: log.Unavailable("secret of the house"),
    "log-conflict": lambda: log.Conflict("secret of the house", 3),
    "log-claim": lambda: log.ClaimTaken(("secret of the house",)),
    "log-too-large": log.EventTooLarge,
}
router = APIRouter(prefix="/v1/things")


@router.post("/{number}", status_code=201, responses=responses(404, 409))
async def make_thing(number: int, body: Thing, caller: Annotated[Caller, Depends(allow("make_thing"))]) -> Thing:
    """Make a thing."""
    return body


@router.get("/{number}", responses=responses(404))
async def get_thing(
    number: int, caller: Annotated[Caller, Depends(allow("get_thing"))], limit: Annotated[int, Query(ge=1, le=9)] = 1
) -> dict[str, Any]:
    return {"id": number, "limit": limit, "subject": caller.subject}


@router.put("/fail/{how}")
async def fail(how: str, caller: Annotated[Caller, Depends(allow("fail"))]) -> None:
    raise FAILURES[how]()


@router.put("/wait/{seconds}")
async def wait(seconds: float, caller: Annotated[Caller, Depends(allow("wait"))]) -> Response:
    await asyncio.sleep(seconds)
    return Response(status_code=204)


def make_app(local: LocalIssuer, routers: list[APIRouter] | None = None, **settings: Any) -> FastAPI:
    ACCESS.update(RULES)
    return service_app(
        title="Things & <others>",
        description="A service of the tests.",
        settings=ServiceSettings(oidc_issuer=local.url, **settings),
        lifespan=nothing,
        routers=routers or [router],
        health=Health(),
    )


@asynccontextmanager
async def nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def calling(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://things") as client:
        yield client
