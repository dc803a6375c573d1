"""What the tests of bad input share: the running services' operations as their documents list them, a request for each
that would be taken, and what a refusal must be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import jsonschema

from deploy.local.issuer import make_token
from libs.service.caller import ROLES
from libs.service.trace import PURPOSE
from tests.policies import a_policy, unsigned
from tests.system import System

SERVICES = ("intake", "router", "directory", "recording")
METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options", "trace"})
SECRET = "Zebedee Nightingale"
"""Stands for what identifies a person: sent in bad requests, found in no answer and no log."""
WORDS = "A bicycle was taken."
PLACE: dict[str, Any] = {"kind": "point", "lat": 52.1356, "lon": -0.4685}
LOCATION: dict[str, Any] = {"of": "incident", "source": "caller", "shape": PLACE}

BODIES: dict[str, dict[str, Any]] = {
    "receive_telephone": {"line": "101", "presentedForce": "bedfordshire", "locations": [LOCATION]},
    "receive_web": {"words": WORDS, "category": "theft", "locations": [LOCATION]},
    "receive_online": {"medium": "chat", "words": WORDS, "locations": [LOCATION]},
    "add_location": LOCATION,
    "add_message": {"text": WORDS},
    "add_leg": {"callId": "another-leg"},
    "end_contact": {"reason": "completed"},
    "erase_contact": {"authority": "DPO/1", "reason": "request"},
    "place_hold": {"authority": "CPS/1", "reason": "complaint"},
    "lift_hold": {"authority": "CPS/1"},
    "place_duty": {"authority": "RRD/1", "reason": "policy", "until": "2099-01-01T00:00:00Z"},
    "lift_duty": {"authority": "RRD/1"},
    "rectify_contact": {"member": "words", "text": WORDS, "authority": "DPO/1", "reason": "request"},
    "claim_next": {"answeringForce": "bedfordshire"},
    "release_contact": {"reason": "unfinished"},
    "confirm_owner": {"owningForce": "bedfordshire"},
    "record_crime": {"reference": "40/1/26"},
    "cancel_crime": {"reference": "40/1/26"},
    "review_break_glass": {"finding": "justified", "words": WORDS},
    "dispose_contact": {"disposition": "incident-opened", "incident": {"summary": WORDS, "location": PLACE}},
    "locate_shape": {"shape": PLACE},
    "activate_generation": {"reason": "the order of 2026"},
    "create_policy": unsigned(a_policy()),
    "update_policy": unsigned(a_policy()),
}
"""A body that each operation would take, by operation id. A new operation with a JSON body needs one here."""
LOST = b"""<?xml version="1.0" encoding="UTF-8"?>
<findService xmlns="urn:ietf:params:xml:ns:lost1" xmlns:gml="http://www.opengis.net/gml">
 <location id="1" profile="geodetic-2d"><gml:Point><gml:pos>52.1356 -0.4685</gml:pos></gml:Point></location>
 <service>urn:service:sos.police</service>
</findService>"""
BOUNDARIES = b"""{"type": "FeatureCollection", "features": [
 {"type": "Feature", "properties": {"PFA24CD": "E23000026"}, "geometry":
  {"type": "Polygon", "coordinates": [[[-0.5, 52], [-0.4, 52], [-0.4, 52.1], [-0.5, 52.1], [-0.5, 52]]]}}]}"""
OTHERS: dict[str, tuple[str, bytes]] = {
    "lost": ("application/lost+xml", LOST),
    "import_boundaries": ("application/octet-stream", BOUNDARIES),
}
"""The same for operations that take something else than JSON, with its media type. They have tests of their own."""


@dataclass(frozen=True)
class Operation:
    service: str
    id: str
    method: str
    path: str
    """With its parameters in braces."""
    parameters: dict[str, Any]
    """The schemas of those in the path."""
    query: list[str]
    """The names of those in the query."""
    takes_body: bool
    """JSON."""
    needs_body: bool
    guarded: bool

    def __str__(self) -> str:
        return f"{self.service} {self.method} {self.path}"


@dataclass
class Services:
    """The running system, its documents, and what it knows."""

    system: System
    documents: dict[str, dict[str, Any]]
    databases: dict[str, asyncpg.Pool]
    known: dict[str, str] = field(default_factory=dict)
    """A value for each path parameter, by name, under which there is something."""
    faults: list[str] = field(default_factory=list)

    def operations(self, *methods: str) -> Iterator[Operation]:
        """Those of all four documents, with these methods; without any, all."""
        for service, document in self.documents.items():
            for path, item in document["paths"].items():
                for method, operation in item.items():
                    if method not in METHODS or (methods and method not in methods):
                        continue
                    body = operation.get("requestBody", {})
                    takes = "application/json" in body.get("content", {})
                    yield Operation(
                        service,
                        operation["operationId"],
                        method,
                        path,
                        {p["name"]: p["schema"] for p in operation.get("parameters", ()) if p["in"] == "path"},
                        [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"],
                        bool(takes),
                        bool(takes and body.get("required")),
                        bool(operation.get("security")),
                    )

    def posts(self, *, with_body: bool = False) -> Iterator[Operation]:
        """Every POST of every service; all, or those that take a body."""
        found = [operation for operation in self.operations("post") if operation.takes_body or not with_body]
        assert len(found) >= 10, "the documents do not list the operations"
        yield from found

    def url(self, operation: Operation, **parameters: str) -> str:
        """Its address, with known things in its path."""
        path = operation.path.format(**{name: self.known[name] for name in operation.parameters} | parameters)
        return self.system.url(operation.service) + path

    def headers(
        self,
        subject: str = "test-everything",
        *,
        roles: Iterable[str] = ROLES,
        forces: Iterable[str] | None = None,
        alliance: bool = True,
        home: str | None = None,
    ) -> dict[str, str]:
        """Headers of a caller who says for what he opens what is not in his hands; with every role and for every force,
        Bedfordshire's own, unless said otherwise."""
        layout, whose = self.system.layout, self.system.forces if forces is None else forces
        token = make_token(
            layout.secrets,
            layout.issuer_url,
            subject=subject,
            roles=roles,
            forces=whose,
            alliance=alliance,
            home=home or ("bedfordshire" if forces is None else None),
        )
        return {"Authorization": f"Bearer {token}", PURPOSE: "quality"}

    async def stored(self) -> dict[str, int]:
        """How many events and claims each service's database holds."""
        counts = "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM claim)"
        return {name: await pool.fetchval(counts) for name, pool in self.databases.items()}

    async def quiet(self) -> None:
        """Return once everything that was taken has gone its way."""
        counts: dict[str, int] = {}
        async with asyncio.timeout(30):
            while (now := await self.stored()) != counts:
                counts = now
                await asyncio.sleep(0.7)

    def refusal(self, response: httpx.Response, *statuses: int, what: object = "") -> dict[str, Any]:
        """Checks that the answer is a problem document with one of the statuses that tells nothing of what was sent;
        gives the document. What is wrong is kept in `faults`, so that one run shows all of it."""
        document: dict[str, Any] = {}
        wrong = []
        if response.status_code not in statuses:
            wrong.append(f"status {response.status_code}, not {statuses}")
        if response.headers.get("content-type") != "application/problem+json":
            wrong.append(f"content type {response.headers.get('content-type')}")
        else:
            document = response.json()
            schema = self.documents["intake"]["components"]["schemas"]["Problem"]
            wrong += [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]
            if document.get("status") != response.status_code or len(document.get("detail", "")) < 10:
                wrong.append("status and detail")
        if SECRET in response.text or SECRET in str(response.headers):
            wrong.append("it repeats what was sent")
        if wrong:
            self.faults.append(f"{what}: {'; '.join(wrong)}: {response.text[:300]}")
        return document
