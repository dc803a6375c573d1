"""Every role on every operation of every service, in every force scope, as `libs.service.access.ACCESS` has it: what it
allows works, all else is 401, 403 or 404, and a 404 for what is there is the very answer for what is not.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest_asyncio

from libs.service.access import ACCESS, OPEN
from libs.service.caller import ROLES, Caller
from libs.service.scopes import Belongs, Tie
from tests.integration.bad_input.quick import Answer, Quick
from tests.integration.bad_input.service import BODIES, OTHERS, SERVICES, Operation, Services
from tests.integration.logs import until

OWNER, PRESENTED, ANSWERING, FOREIGN = "cambridgeshire", "bedfordshire", "hertfordshire", "northamptonshire"
GATEWAY, HANDLER = "the-trunk", "the-handler"
CAMBRIDGE: dict[str, Any] = {"kind": "point", "lat": 52.2053, "lon": 0.1218}
CALL = {
    "line": "999",
    "presentedForce": PRESENTED,
    "locations": [{"of": "caller", "source": "aml", "shape": CAMBRIDGE}],
}
CHAT = {"medium": "chat", "words": "A bicycle was taken."}
"""Of nobody knows where, presented to nobody: it waits in the alliance's own queue."""
DISPOSED = {"disposition": "incident-opened"}

SCOPES: dict[str, dict[str, Any]] = {
    "owner": {"forces": [OWNER]},
    "presented": {"forces": [PRESENTED]},
    "answering": {"forces": [ANSWERING]},
    "handler": {"subject": HANDLER},
    "gateway": {"subject": GATEWAY},
    "alliance": {"alliance": True},
    "foreign": {"forces": [FOREIGN]},
    "none": {},
}
"""What a token may say, one tie at a time."""
ON_CONTACTS = {
    *("add_location", "add_message", "end_contact", "show_contact", "show_routing", "release_contact"),
    *("confirm_owner", "dispose_contact", "show_audit"),
}
ON_QUEUES = {"show_queue", "claim_next"}
ON_INCIDENTS = {"show_incident"}
QUERIES = {"locate": {"lat": 52.2, "lon": 0.12}, "list_owing_contacts": {"disposition": "none", "limit": 200}}
AGAIN = {
    "add_location": {"of": "other", "source": "handler", "shape": CAMBRIDGE},
    "end_contact": {"reason": "completed"},
    "dispose_contact": DISPOSED,
    "confirm_owner": {"owningForce": OWNER},
}
"""Instead of `BODIES`: what may be said again and again of one contact, and leaves it whose it is."""


@dataclass(frozen=True)
class Thing:
    """A contact, the queue it waits or waited in, and its incident."""

    contact: str
    queue: str
    incident: str
    belongs: Belongs
    queue_belongs: Belongs
    incident_belongs: Belongs

    def whose(self, operation: str) -> Belongs:
        if operation in ON_QUEUES:
            return self.queue_belongs
        return self.incident_belongs if operation in ON_INCIDENTS else self.belongs


@dataclass
class World:
    services: Services
    clients: dict[str, Quick]
    forces: Thing
    """Presented to one force, owned by another, answered for a third."""
    alliances: Thing
    """Nobody's."""
    held: list[str]
    """More contacts like `forces.contact`, which may be given back."""
    waiting: list[str]
    """More like `alliances.contact`, whose owner may be told."""
    ended: dict[str, str]
    """By what may be ended, or disposed of, in its stead."""
    disposed: dict[str, str]
    tokens: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def caller(self, role: str, scope: str) -> Caller:
        claims: dict[str, Any] = {"subject": f"{role}-{scope}", "forces": [], "alliance": False} | SCOPES[scope]
        return Caller(
            claims["subject"], frozenset({role}) & ROLES, frozenset(claims["forces"]), None, claims["alliance"]
        )

    def headers(self, role: str, scope: str) -> dict[str, str]:
        if (role, scope) not in self.tokens:
            caller = self.caller(role, scope)
            self.tokens[role, scope] = self.services.headers(
                caller.subject, roles=[role], forces=caller.forces, alliance=caller.alliance
            )
        return self.tokens[role, scope]

    async def send(self, operation: Operation, thing: Thing, headers: dict[str, str]) -> Answer:
        named = {"contact_id": thing.contact, "queue_id": thing.queue, "incident_id": thing.incident, "force": OWNER}
        path = operation.path.format(**{name: named.get(name, "999999") for name in operation.parameters})
        body = AGAIN.get(operation.id, BODIES.get(operation.id)) if operation.needs_body else None
        query: dict[str, Any] = QUERIES.get(operation.id, {})
        if operation.id == "show_audit":
            query = {"contact": thing.contact}
        return await self.clients[operation.service].request(
            operation.method.upper(),
            path,
            json=body,
            content=OTHERS.get(operation.id),
            params=query,
            headers=headers,
        )


def on(operation: str) -> bool:
    return operation in ON_CONTACTS | ON_QUEUES | ON_INCIDENTS


@pytest_asyncio.fixture(scope="module")
async def world(services: Services) -> AsyncIterator[World]:
    clients = {name: Quick(services.system.url(name), 64 if name == "recording" else 8) for name in SERVICES}
    gateway = services.headers(GATEWAY, roles=["gateway"], forces=[], alliance=False)
    handler = services.headers(HANDLER, roles=["handler", "supervisor"], forces=[OWNER, ANSWERING])

    async def take(channel: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = gateway | {"Prefer": "wait=10"}
        answer = await clients["intake"].request("POST", f"/v1/contacts/{channel}", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def claim() -> str:
        url = f"/v1/queues/{OWNER}-999/claim"
        answer = await clients["router"].request("POST", url, json={"answeringForce": ANSWERING}, headers=handler)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["contact"])

    calls = await asyncio.gather(*(take("telephone", CALL) for _ in range(9)))
    assert {call["routing"]["owningForce"] for call in calls} == {OWNER}
    chats = await asyncio.gather(*(take("online", CHAT) for _ in range(6)))
    assert {chat["routing"]["owningForce"] for chat in chats} == {None}
    claimed = await asyncio.gather(*(claim() for _ in calls))
    assert sorted(claimed) == sorted(call["id"] for call in calls)
    waiting = [chat["id"] for chat in chats]

    async def dispose(contact: str) -> str:
        answer = await clients["recording"].request(
            "POST", f"/v1/contacts/{contact}/disposition", json=DISPOSED, headers=handler
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["incident"]["id"])

    # What has ended may be disposed of by whoever may, though nobody claimed it.
    ended = await clients["intake"].request(
        "POST", f"/v1/contacts/{waiting[1]}/end", json=AGAIN["end_contact"], headers=gateway
    )
    assert ended.status_code == 200, ended.text
    forces_incident, alliances_incident = await asyncio.gather(dispose(claimed[1]), dispose(waiting[1]))
    forces = Thing(
        claimed[0],
        f"{OWNER}-web",
        forces_incident,
        Belongs.to(OWNER, presented=PRESENTED, answering=ANSWERING, handler=HANDLER, gateway=GATEWAY),
        Belongs.to(OWNER),
        Belongs.to(OWNER),
    )
    alliances = Thing(
        waiting[0],
        chats[0]["routing"]["queue"],
        alliances_incident,
        Belongs.to(None, gateway=GATEWAY),
        Belongs.to(None),
        Belongs.to(None),
    )
    made = World(
        services,
        clients,
        forces,
        alliances,
        claimed[3:],
        waiting[3:],
        {forces.contact: claimed[2], alliances.contact: waiting[2]},
        {forces.contact: claimed[1], alliances.contact: waiting[1]},
    )

    async def recorded() -> bool:
        """Recording has heard of who answered, and lists what it should."""
        auditor = services.headers("auditor", roles=["auditor"])
        owing = await clients["recording"].request(
            "GET", "/v1/contacts", params=QUERIES["list_owing_contacts"], headers=auditor
        )
        incidents = await clients["recording"].request("GET", "/v1/incidents", params={"limit": 200}, headers=auditor)
        listed = {one["id"] for one in incidents.json()["incidents"]}
        answered = services.headers("auditor", roles=["auditor"], forces=[ANSWERING], alliance=False)
        audits = [
            await clients["recording"].request("GET", "/v1/audit", params={"contact": contact}, headers=answered)
            for contact in claimed
        ]
        return (
            set(claimed) - {claimed[1]} <= {one["id"] for one in owing.json()["contacts"]}
            and {forces_incident, alliances_incident} <= listed
            and all(answer.status_code == 200 for answer in audits)
        )

    await until(recorded)
    yield made
    for client in clients.values():
        await client.aclose()


def test_every_operation_has_a_row_in_the_table_and_every_row_an_operation(services: Services) -> None:
    found = Counter(operation.id for operation in services.operations())
    assert set(found) - OPEN == set(ACCESS)
    for operation in services.operations():
        assert operation.guarded == (operation.id in ACCESS), operation
        if on(operation.id):
            scopes = ACCESS[operation.id].scopes.values()
            assert all(scope.ties is not None for scope in scopes), f"{operation} is about one thing, and unscoped"


def test_every_document_says_of_every_operation_which_roles_in_which_scope(services: Services) -> None:
    for document in services.documents.values():
        for item in document["paths"].values():
            for operation in item.values():
                rule = ACCESS.get(operation["operationId"])
                said = {role: scope.name.lower() for role, scope in rule.scopes.items()} if rule else None
                assert operation.get("x-access") == said


def test_the_callers_that_are_tried_have_every_tie_one_at_a_time(world: World) -> None:
    ties = {scope: _ties(world.caller("handler", scope), world.forces) for scope in SCOPES}
    ties["alliance"] = _ties(world.caller("handler", "alliance"), world.alliances)
    assert ties == {
        "owner": [Tie.OWNED],
        "presented": [Tie.PRESENTED],
        "answering": [Tie.ANSWERED],
        "handler": [Tie.HELD],
        "gateway": [Tie.BROUGHT],
        "alliance": [Tie.ALLIANCE],
        "foreign": [],
        "none": [],
    }


def _ties(caller: Caller, thing: Thing) -> list[Tie]:
    return [tie for tie in Tie if thing.belongs.has(tie, caller)]


async def test_every_role_on_every_operation_in_every_force_scope_gets_what_the_table_says(
    world: World, figures: Callable[[str], None]
) -> None:
    """The operations that take from a queue come last, because they change whose hands a contact is in."""
    began = time.monotonic()
    operations = [operation for operation in world.services.operations() if operation.id in ACCESS]
    wrong: list[str] = []
    tried = 0
    before = await shown(world)
    for turn in (False, True):
        tries = [
            _try(world, operation, role, scope, wrong)
            for operation in operations
            if (operation.id == "claim_next") == turn
            for role in (*sorted(ROLES), "king")
            for scope in SCOPES
        ]
        tried += sum(await asyncio.gather(*tries))
        if not turn:
            after = await shown(world)
    anonymous = [world.send(operation, world.forces, {}) for operation in operations]
    for operation, answer in zip(operations, await asyncio.gather(*anonymous), strict=True):
        if answer.status_code != 401:
            wrong.append(f"{operation} without a token: {answer.status_code}")
    figures(f"role × operation × scope: {tried + len(operations)} requests, {time.monotonic() - began:.1f} s")
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:20]])
    assert tried > len(operations) * (len(ROLES) + 1) * len(SCOPES)
    assert after == before, "whose a contact is has changed, so that what was tried later was not what it says"


async def shown(world: World) -> Any:
    """Where the two contacts are."""
    headers = world.services.headers("looking", roles=["supervisor"])
    return [
        (await world.clients["router"].request("GET", f"/v1/contacts/{thing.contact}", headers=headers)).json()["queue"]
        for thing in (world.forces, world.alliances)
    ]


async def _try(world: World, operation: Operation, role: str, scope: str, wrong: list[str]) -> int:
    """Try it on each thing that there is, and on one that there is not; how many requests that took."""
    headers, caller = world.headers(role, scope), world.caller(role, scope)
    name = f"{operation.service} {operation.id} as {role}, {scope}"
    if role not in ACCESS[operation.id].roles:
        answer = await world.send(operation, world.forces, headers)
        if answer.status_code != 403:
            wrong.append(f"{name}: {answer.status_code}, not 403")
        return 1
    if not on(operation.id):
        answer = await world.send(operation, world.forces, headers)
        wrong += [f"{name}: {fault}" for fault in _unexpected(world, operation.id, caller, answer)]
        return 1
    absent = Thing(str(uuid4()), "no-such-queue", str(uuid4()), *[Belongs()] * 3)
    nothing = await world.send(operation, absent, headers)
    if nothing.status_code != 404:
        wrong.append(f"{name}: {nothing.status_code} for what is not there")
    for thing in (world.forces, world.alliances):
        if ACCESS[operation.id].admits(caller, thing.whose(operation.id)):
            answer = await world.send(operation, _instead(world, operation.id, thing, caller), headers)
            wrong += [f"{name}: {fault}" for fault in _not_done(operation.id, thing, caller, answer)]
        else:
            answer = await world.send(operation, thing, headers)
            if _told(answer) != _told(nothing):
                wrong.append(f"{name}: {answer.status_code} for what it must not know of: {answer.text[:150]}")
    return 3


def _told(answer: Answer) -> Any:
    """All that an answer says, but for its own id and time."""
    own = {"x-request-id", "date"}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, headers, {**(answer.json() or {}), "requestId": None}


def _instead(world: World, operation: str, thing: Thing, caller: Caller) -> Thing:
    """A contact of the same ties, for what can be done to each but once."""
    contact = thing.contact
    match operation:
        case "end_contact":
            contact = world.ended[contact]
        case "dispose_contact":
            contact = world.disposed[contact]
        case "release_contact" if thing is world.forces and _may_give_back(caller):
            contact = world.held.pop()
        case "confirm_owner" if thing is world.alliances:
            contact = world.waiting.pop()
    return Thing(contact, *[getattr(thing, name) for name in list(Thing.__annotations__)[1:]])


def _may_give_back(caller: Caller) -> bool:
    return "supervisor" in caller.roles or caller.subject == HANDLER


def _not_done(operation: str, thing: Thing, caller: Caller, answer: Answer) -> list[str]:
    """What is wrong with the answer to one who may know of the thing."""
    wanted: tuple[int, ...] = (200, 201)
    if operation == "claim_next":
        wanted = (200, 204)
    if operation == "release_contact" and not _may_give_back(caller):
        wanted = (403,)  # it is known, and in another's hands
    if operation == "release_contact" and thing.belongs.handler is None:
        wanted = (409,)  # it is known, and in nobody's hands
    return [] if answer.status_code in wanted else [f"{answer.status_code}, not {wanted}: {answer.text[:150]}"]


def _unexpected(world: World, operation: str, caller: Caller, answer: Answer) -> list[str]:
    """What is wrong with the answer of an operation that is about no one thing: a list shows what it may, all of it."""
    if operation == "replay_parked":
        right = answer.status_code == 404 and "No event is held" in answer.text
        return [] if right else [f"{answer.status_code}: {answer.text[:200]}"]
    if answer.status_code not in (200, 201):
        return [f"{answer.status_code}: {answer.text[:200]}"]
    match operation:
        case "list_queues":
            listed = {queue["id"] for queue in answer.json()["queues"]}
            things = [(thing.queue, thing.queue_belongs) for thing in (world.forces, world.alliances)]
        case "list_owing_contacts":
            listed = {contact["id"] for contact in answer.json()["contacts"]}
            things = [(thing.contact, thing.belongs) for thing in (world.forces, world.alliances)]
        case "list_incidents":
            listed = {incident["id"] for incident in answer.json()["incidents"]}
            things = [(thing.incident, thing.incident_belongs) for thing in (world.forces, world.alliances)]
        case _:
            return []
    return [
        f"{id_} is {'' if id_ in listed else 'not '}listed"
        for id_, belongs in things
        if (id_ in listed) != ACCESS[operation].admits(caller, belongs)
    ]
