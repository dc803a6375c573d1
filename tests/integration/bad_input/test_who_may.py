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
from libs.service.trace import BREAK_GLASS
from tests.integration.bad_input.quick import Answer, Quick
from tests.integration.bad_input.service import BODIES, OTHERS, SERVICES, Operation, Services
from tests.integration.logs import until
from tests.policies import a_policy, unsigned

OWNER, PRESENTED, ANSWERING, FOREIGN = "cambridgeshire", "bedfordshire", "hertfordshire", "northamptonshire"
GATEWAY, HANDLER, BUDDY = "the-trunk", "the-handler", "the-buddy"
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
    "pooled": {"forces": [OWNER, PRESENTED, FOREIGN], "home": FOREIGN},
    "presented": {"forces": [PRESENTED]},
    "answering": {"forces": [ANSWERING]},
    "handler": {"subject": HANDLER},
    "gateway": {"subject": GATEWAY},
    "leg": {"subject": BUDDY},
    "alliance": {"alliance": True},
    "foreign": {"forces": [FOREIGN]},
    "none": {},
}
"""What a token may say, one tie at a time."""
ON_CONTACTS = {
    *("add_location", "add_message", "add_leg", "end_contact", "show_contact", "show_routing", "release_contact"),
    *("confirm_owner", "dispose_contact", "show_audit"),
    *("erase_contact", "show_erasure", "place_hold", "lift_hold", "place_duty", "lift_duty"),
    *("rectify_contact", "list_rectifications"),
}
LATER = {"claim_next", "add_leg"}
"""They change whose a contact is: they come when all else has been tried."""
TRIES = 5
ON_QUEUES = {"show_queue", "claim_next"}
ON_INCIDENTS = {"show_incident", "record_crime", "cancel_crime"}
ON_POLICIES = {"update_policy", "delete_policy"}
ON_ACCESSES = {"review_break_glass"}
BREAKER = "the-breaker"
"""Of another force, in whose token's reach the owner's are: he opened two contacts by break-glass."""
QUERIES = {
    "locate": {"lat": 52.2, "lon": 0.12},
    "list_owing_contacts": {"disposition": "none", "limit": 200},
    "list_accesses": {"reader": BREAKER},
    "import_boundaries": {"generation": "tried", "source": "the test", "accuracyMetres": 20},
    "retrieve_policies": {"policyType": "NormalNextHopRoutePolicy"},
    "enumerate_policies": {"policyType": "NormalNextHopRoutePolicy"},
}
AGENCY = f"{OWNER}.queues.bch.example"
ALLIANCE = "queues.bch.example"
AGAIN = {
    "add_location": {"of": "other", "source": "handler", "shape": CAMBRIDGE},
    "end_contact": {"reason": "completed"},
    "dispose_contact": DISPOSED,
    "confirm_owner": {"owningForce": OWNER},
}
"""Instead of `BODIES`: what may be said again and again of one contact, and leaves it whose it is."""


@dataclass(frozen=True)
class Thing:
    """A contact, the queue it waits or waited in, that queue's policy, and its incident."""

    contact: str
    queue: str
    incident: str
    belongs: Belongs
    queue_belongs: Belongs
    incident_belongs: Belongs
    access: str
    """Something of the owner's that was opened by break-glass."""

    def whose(self, operation: str) -> Belongs:
        if operation in ON_QUEUES | ON_POLICIES:
            return self.queue_belongs
        if operation in ON_ACCESSES:
            return Belongs.to(OWNER)
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
            claims["subject"],
            frozenset({role}) & ROLES,
            frozenset(claims["forces"]),
            None,
            claims["alliance"],
            claims.get("home"),
        )

    def headers(self, role: str, scope: str) -> dict[str, str]:
        if (role, scope) not in self.tokens:
            caller = self.caller(role, scope)
            self.tokens[role, scope] = self.services.headers(
                caller.subject, roles=[role], forces=caller.forces, alliance=caller.alliance, home=caller.home_force
            )
        return self.tokens[role, scope]

    async def keep_policy(self, policy: dict[str, str]) -> None:
        self.tokens.setdefault(("every role", "every scope"), self.services.headers())
        headers = self.tokens["every role", "every scope"]
        answer = await self.clients["directory"].request("POST", "/Policies", json=policy, headers=headers)
        assert answer.status_code == 201, answer.text

    async def send(self, operation: Operation, thing: Thing, headers: dict[str, str]) -> Answer:
        named = {"contact_id": thing.contact, "queue_id": thing.queue, "incident_id": thing.incident, "force": OWNER}
        named["access_id"] = thing.access
        named["generation"] = self.services.known["generation"]
        path = operation.path.format(**{name: named.get(name, "999999") for name in operation.parameters})
        body = AGAIN.get(operation.id, BODIES.get(operation.id)) if operation.needs_body else None
        query: dict[str, Any] = QUERIES.get(operation.id, {})
        if operation.id in ON_POLICIES | {"create_policy"}:
            # One of its own for each try: what one removes, another may be about to change.
            query = policy_named(thing, policyType="OtherRoutePolicy", policyId=str(uuid4()))
            policy = unsigned(a_policy(policyQueueName=None, **query))
            if operation.id in ON_POLICIES and thing.queue_belongs.owners:
                await self.keep_policy(policy)
            body = policy if operation.needs_body else None
            query = query if operation.id in ON_POLICIES else {}
        if operation.id == "show_audit":
            query = {"contact": thing.contact}
        for _ in range(TRIES):  # while a service says that it is busy, as it asks for
            answer = await self.clients[operation.service].request(
                operation.method.upper(),
                path,
                json=body,
                content=OTHERS.get(operation.id),
                params=query,
                headers=headers,
            )
            if answer.status_code != 503:
                break
            await asyncio.sleep(1)
        return answer


def policy_named(thing: Thing, **rest: str) -> dict[str, Any]:
    """What names a policy of whoever the thing's queue belongs to."""
    return {"policyOwner": ALLIANCE if None in thing.queue_belongs.owners else AGENCY, **rest}


def on(operation: str) -> bool:
    return operation in ON_CONTACTS | ON_QUEUES | ON_INCIDENTS | ON_ACCESSES | ON_POLICIES


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

    calls = await asyncio.gather(*(take("telephone", CALL) for _ in range(10)))
    assert {call["routing"]["owningForce"] for call in calls} == {OWNER}
    chats = await asyncio.gather(*(take("online", CHAT) for _ in range(6)))
    assert {chat["routing"]["owningForce"] for chat in chats} == {None}
    claimed = [call["id"] for call in calls]
    unclaimed = set(claimed)
    while unclaimed:  # others may wait in that queue, from the tests before
        unclaimed.discard(await claim())
    waiting = [chat["id"] for chat in chats]

    async def dispose(contact: str) -> str:
        answer = await clients["recording"].request(
            "POST", f"/v1/contacts/{contact}/disposition", json=DISPOSED, headers=handler
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["incident"]["id"])

    # What has ended may be disposed of by whoever may, though nobody claimed it.
    buddy = services.headers(BUDDY, roles=["gateway"], forces=[PRESENTED], alliance=False)
    for call in calls:
        leg = await clients["intake"].request(
            "POST", f"/v1/contacts/{call['id']}/legs", json=BODIES["add_leg"], headers=buddy
        )
        assert leg.status_code == 201, leg.text
    ended = await clients["intake"].request(
        "POST", f"/v1/contacts/{waiting[1]}/end", json=AGAIN["end_contact"], headers=gateway
    )
    assert ended.status_code == 200, ended.text
    broken = await break_glass(services, clients, claimed[:2])
    forces_incident, alliances_incident = await asyncio.gather(dispose(claimed[1]), dispose(waiting[1]))
    forces = Thing(
        claimed[0],
        f"{OWNER}-web",
        forces_incident,
        Belongs.to(
            OWNER, presented=PRESENTED, answering=ANSWERING, handler=HANDLER, gateway=GATEWAY, legs=frozenset({BUDDY})
        ),
        Belongs.to(OWNER),
        Belongs.to(OWNER, handler=HANDLER),
        broken[0],
    )
    alliances = Thing(
        waiting[0],
        chats[0]["routing"]["queue"],
        alliances_incident,
        Belongs.to(None, gateway=GATEWAY),
        Belongs.to(None),
        Belongs.to(None),
        broken[1],
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
        held = services.headers(HANDLER, roles=["handler"], forces=[], alliance=False)
        hands = [await clients["intake"].request("GET", f"/v1/contacts/{contact}", headers=held) for contact in claimed]
        answered = services.headers("auditor", roles=["auditor"], forces=[ANSWERING], alliance=False)
        audits = [
            await clients["recording"].request("GET", "/v1/audit", params={"contact": contact}, headers=answered)
            for contact in claimed
        ]
        return (
            set(claimed) - {claimed[1]} <= {one["id"] for one in owing.json()["contacts"]}
            and {forces_incident, alliances_incident} <= listed
            and all(answer.status_code == 200 for answer in (*audits, *hands))
        )

    await until(recorded)
    for thing in (forces, alliances):
        queue = f"sip:{thing.queue}@queues.bch.example"
        await made.keep_policy(
            unsigned(a_policy(**policy_named(thing, policyType="NormalNextHopRoutePolicy", policyQueueName=queue)))
        )
    yield made
    for client in clients.values():
        await client.aclose()


async def break_glass(services: Services, clients: dict[str, Quick], contacts: list[str]) -> list[str]:
    """The accesses of who has opened these by break-glass, once it is known."""
    headers = services.headers(BREAKER, roles=["handler"], forces=[OWNER, FOREIGN], alliance=False, home=FOREIGN)
    for contact in contacts:
        refused = await clients["intake"].request("GET", f"/v1/contacts/{contact}", headers=headers)
        assert refused.status_code == 404, refused.text
        opened = await clients["intake"].request(
            "GET", f"/v1/contacts/{contact}", headers=headers | {BREAK_GLASS: "life-at-risk; a child is in the house"}
        )
        assert opened.status_code == 200, opened.text
    found: list[str] = []

    async def known() -> bool:
        supervisor = services.headers("supervisor", roles=["supervisor"], forces=[OWNER], alliance=False)
        answer = await clients["recording"].request("GET", "/v1/break-glass", headers=supervisor)
        found[:] = [one["id"] for one in answer.json()["accesses"] if one["reader"] == BREAKER]
        return len(found) == len(contacts)

    await until(known)
    return found


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
    """But for the home force, whose ties are those of a force of the token as well."""
    ties = {scope: _ties(world.caller("handler", scope), world.forces) for scope in SCOPES}
    ties["alliance"] = _ties(world.caller("handler", "alliance"), world.alliances)
    assert ties == {
        "owner": [Tie.OWNED, Tie.OWNED_AT_HOME],
        "pooled": [Tie.OWNED, Tie.PRESENTED],
        "presented": [Tie.PRESENTED, Tie.PRESENTED_AT_HOME],
        "answering": [Tie.ANSWERED],
        "handler": [Tie.HELD],
        "gateway": [Tie.BROUGHT],
        "leg": [Tie.LEG],
        "alliance": [Tie.ALLIANCE],
        "foreign": [],
        "none": [],
    }


def _ties(caller: Caller, thing: Thing) -> list[Tie]:
    return [tie for tie in Tie if thing.belongs.has(tie, caller)]


async def test_every_role_on_every_operation_in_every_force_scope_gets_what_the_table_says(
    world: World, figures: Callable[[str], None]
) -> None:
    """The operations that change whose a contact is come last."""
    began = time.monotonic()
    operations = [operation for operation in world.services.operations() if operation.id in ACCESS]
    wrong: list[str] = []
    tried = 0
    before = await shown(world)
    for turn in (False, True):
        tries = [
            _try(world, operation, role, scope, wrong)
            for operation in operations
            if (operation.id in LATER) == turn
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
    absent = Thing(str(uuid4()), "no-such-queue", str(uuid4()), *[Belongs()] * 3, str(uuid4()))
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
        case "end_contact" | "erase_contact":
            contact = world.ended[contact]
        case "dispose_contact":
            contact = world.disposed[contact]
        case "release_contact" if thing is world.forces and _may_give_back(caller):
            contact = world.held.pop()
        case "confirm_owner" if thing is world.alliances:
            contact = world.waiting.pop()
    return Thing(contact, *[getattr(thing, name) for name in list(Thing.__annotations__)[1:]])


def _policies_listed(world: World, operation: str, caller: Caller, answer: Answer) -> list[str]:
    """What is wrong with a list of policies; where nothing is to be shown, it is as if nothing were there."""
    may = [thing for thing in (world.forces, world.alliances) if ACCESS[operation].admits(caller, thing.queue_belongs)]
    if answer.status_code != (200 if may else 404):
        return [f"{answer.status_code}: {answer.text[:200]}"]
    shown = answer.json()["totalCount"] if may else 0
    return [] if shown == len(may) else [f"{shown} policies are listed, not {len(may)}"]


def _may_give_back(caller: Caller) -> bool:
    return "supervisor" in caller.roles or caller.subject == HANDLER


def _not_done(operation: str, thing: Thing, caller: Caller, answer: Answer) -> list[str]:
    """What is wrong with the answer to one who may know of the thing."""
    wanted: tuple[int, ...] = (200, 201)
    if operation == "erase_contact":
        wanted = (200, 202)
    if operation in ("lift_hold", "lift_duty"):
        wanted = (409,)  # it is known, and nothing of this id stands on it
    if operation == "cancel_crime":
        wanted = (200, 409)  # whoever comes second finds it cancelled
    if operation == "claim_next":
        wanted = (200, 204)
    if operation == "review_break_glass":
        wanted = (201, 409)  # the first; after him it is reviewed
    if operation == "release_contact" and not _may_give_back(caller):
        wanted = (403,)  # it is known, and in another's hands
    if operation == "end_contact" and caller.roles == {"gateway"} and caller.subject not in (GATEWAY, BUDDY):
        wanted = (409,)  # it is known, and no leg of it is this gateway's
    if operation == "add_leg" and thing.belongs.presented is None:
        wanted = (409,)  # it is known, and no call
    if operation == "release_contact" and thing.belongs.handler is None:
        wanted = (409,)  # it is known, and in nobody's hands
    return [] if answer.status_code in wanted else [f"{answer.status_code}, not {wanted}: {answer.text[:150]}"]


def _unexpected(world: World, operation: str, caller: Caller, answer: Answer) -> list[str]:
    """What is wrong with the answer of an operation that is about no one thing: a list shows what it may, all of it."""
    if operation == "replay_parked":
        right = answer.status_code == 404 and "No event is held" in answer.text
        return [] if right else [f"{answer.status_code}: {answer.text[:200]}"]
    if operation == "create_policy":
        admitted = ACCESS[operation].admits(caller, world.forces.queue_belongs)
        return (
            [] if answer.status_code == (201 if admitted else 403) else [f"{answer.status_code}: {answer.text[:200]}"]
        )
    if operation in ("import_boundaries", "activate_generation") and not caller.alliance:
        return [] if answer.status_code == 403 else [f"{answer.status_code}: {answer.text[:200]}"]
    if operation in ("retrieve_policies", "enumerate_policies"):
        return _policies_listed(world, operation, caller, answer)
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
        case "list_accesses":
            listed = {access["id"] for access in answer.json()["accesses"]}
            things = [(thing.access, Belongs.to(OWNER)) for thing in (world.forces, world.alliances)]
        case _:
            return []
    return [
        f"{id_} is {'' if id_ in listed else 'not '}listed"
        for id_, belongs in things
        if (id_ in listed) != ACCESS[operation].admits(caller, belongs)
    ]
