"""Who has looked at what, shown to those who answer for it; and reviews of what was opened by break-glass."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
from uuid_utils.compat import uuid7

from libs.events.envelope import Event
from libs.events.log.database import Database
from libs.events.log.roles import CONSUMER
from libs.events.types.access import Access, AccessPersonal, BreakGlassReviewed, DataAccessed
from libs.service.trace import BREAK_GLASS
from services.recording import accesses
from tests.integration.recording import BEDS, CAMBS, HERTS, IN_HERTS, System, a_call, opening, until

GLASS = {BREAK_GLASS: "officer-safety; he may still be armed"}


def looked(
    force: str | None, *, reader: str = "ann", id_: str | None = None, words: str | None = None, **said: Any
) -> Event:
    """What another service says of somebody who looked at something."""
    members = {"at": datetime.now(UTC), "act": "read", "operation": "show_contact", "kind": "contact", **said}
    access = Access(id=id_ or str(uuid7()), reader=reader, **members)
    fact = DataAccessed(accesses=(access,), personal=None if words is None else AccessPersonal(words=words))
    return Event.of(fact, source="/intake", subject=f"reads/{uuid7()}", version=1, force=force)


async def listed(
    system: System, caller: dict[str, str], *, of_itself: bool = False, **query: Any
) -> list[dict[str, Any]]:
    """Without reads of this very list, which come into it one after the other, unless they are asked for."""
    found = await system.get("/v1/access", caller, **query)
    return [entry for entry in found["accesses"] if of_itself or entry["operation"] != "list_accesses"]


async def known(system: System, caller: dict[str, str], count: int, **query: Any) -> list[dict[str, Any]]:
    async def look() -> list[dict[str, Any]] | None:
        found = await listed(system, caller, **query)
        return found if len(found) >= count else None

    entries: list[dict[str, Any]] = await until(look)
    return entries


async def test_who_looked_at_a_contact_is_shown_to_its_own_force_and_no_other(system: System) -> None:
    contact, reader = str(uuid4()), f"reader-{uuid4()}"
    first = looked(CAMBS, reader=reader, ids=(contact,), purpose="complaint", words="she rang about it")
    second = looked(CAMBS, reader="another", ids=(contact,), home_force=HERTS, in_hand=contact)
    await system.publish(first, second)
    auditor = system.caller("auditor", CAMBS)
    entries = await known(system, auditor, 2, contact=contact)
    assert [entry["reader"] for entry in entries] == ["another", reader]  # newest first
    assert (entries[1]["purpose"], entries[1]["words"], entries[1]["force"]) == (
        "complaint",
        "she rang about it",
        CAMBS,
    )
    assert (entries[0]["homeForce"], entries[0]["inHand"], entries[0]["words"]) == (HERTS, contact, None)
    for role in ("data-protection", "supervisor"):
        assert await listed(system, system.caller(role, CAMBS), contact=contact) == entries
    assert await listed(system, system.caller("auditor", HERTS, BEDS, alliance=True), contact=contact) == []
    pooled = system.caller("supervisor", CAMBS, HERTS, home=HERTS)
    assert await listed(system, pooled, contact=contact) == []
    assert [one["reader"] for one in await listed(system, auditor, reader=reader)] == [reader]
    assert await listed(system, auditor, contact=contact, reader=reader) == entries[1:]


async def test_what_was_looked_at_in_a_time_comes_in_pages_without_a_gap(system: System) -> None:
    reader, began = f"reader-{uuid4()}", datetime.now(UTC)
    ids = [str(uuid7()) for _ in range(7)]
    # Two in the same moment, and one access of two forces' data.
    moments = [began + timedelta(seconds=n // 2) for n in range(7)]
    events = [looked(CAMBS, reader=reader, id_=id_, at=at) for id_, at in zip(ids, moments, strict=True)]
    events.append(looked(BEDS, reader=reader, id_=ids[0], at=moments[0]))
    await system.publish(*events)
    auditor = system.caller("auditor", CAMBS, BEDS)
    await known(system, auditor, 8, reader=reader)
    pages, cursor = [], None
    while True:
        query = {"reader": reader, "limit": 3} | ({} if cursor is None else {"cursor": cursor})
        page = await system.get("/v1/access", auditor, **query)
        pages += [(entry["id"], entry["force"]) for entry in page["accesses"]]
        if (cursor := page["next"]) is None:
            break
    assert pages == sorted(pages, key=lambda one: (moments[ids.index(one[0])], one), reverse=True)
    assert sorted(pages) == sorted([(id_, CAMBS) for id_ in ids] + [(ids[0], BEDS)])
    within = await listed(system, auditor, reader=reader, since=moments[2].isoformat(), until=moments[4].isoformat())
    assert {entry["id"] for entry in within} == set(ids[2:4])


async def test_to_read_the_audit_leaves_a_trace_too(system: System) -> None:
    contact, events = a_call(CAMBS)
    await system.publish(*events)
    name = f"auditor-{uuid4()}"
    auditor = system.caller("auditor", CAMBS, subject=name)
    await system.audited(contact, 3)
    assert (await system.client.get("/v1/audit", params={"contact": contact.id}, headers=auditor)).status_code == 200
    await listed(system, auditor, contact=contact.id)
    entries = await known(system, system.caller("auditor", CAMBS), 2, of_itself=True, reader=name)
    assert [(entry["act"], entry["operation"], entry["ids"]) for entry in entries] == [
        ("audit", "list_accesses", [contact.id]),
        ("audit", "show_audit", [contact.id]),
    ]
    assert entries[0]["searchedBy"] == ["contact"]


async def test_an_incident_is_opened_at_home_through_a_contact_in_hand_or_by_break_glass(system: System) -> None:
    call, events = a_call(CAMBS)
    await system.publish(*events)
    incident = (await system.dispose(call, opening(location=IN_HERTS))).json()["incident"]["id"]
    path = f"/v1/incidents/{incident}"

    async def status(headers: dict[str, str]) -> int:
        return (await system.client.get(path, headers=headers)).status_code

    pooled = {"home": BEDS, "purpose": None}
    everywhere = (BEDS, CAMBS, HERTS)
    assert await status(system.caller("handler", *everywhere, subject="anna", **pooled)) == 200  # type: ignore[arg-type]
    stranger = system.caller("handler", *everywhere, subject="stranger", **pooled)  # type: ignore[arg-type]
    assert await status(stranger) == 404
    assert await status(system.caller("recorder", HERTS, subject="rose", purpose=None)) == 422  # says not for what
    assert await status(system.caller("recorder", HERTS, subject="rose")) == 200
    assert await status(stranger | GLASS) == 200
    assert await status(stranger) == 404
    entries = await known(system, system.caller("auditor", HERTS), 3, incident=incident)
    assert [(one["reader"], one["inHand"], one["purpose"], one["breakGlass"]) for one in entries] == [
        ("stranger", None, None, "officer-safety"),
        ("rose", None, "quality", None),
        ("anna", call.id, None, None),
    ]


async def test_a_contact_that_is_joined_to_an_incident_is_a_combination_of_both_forces_data(system: System) -> None:
    first, second = a_call(CAMBS), a_call(BEDS)
    await system.publish(*first[1], *second[1])
    incident = (await system.dispose(first[0], opening(location=IN_HERTS))).json()["incident"]["id"]
    everywhere = system.caller("handler", BEDS, CAMBS, HERTS, home=CAMBS)
    joined = await system.dispose(second[0], {"disposition": "joined-incident", "incidentId": incident}, everywhere)
    assert joined.status_code == 201, joined.text
    auditor = system.caller("auditor", BEDS, CAMBS, HERTS)
    entries = await known(system, auditor, 2, contact=second[0].id)
    assert {(one["act"], one["force"], one["inHand"]) for one in entries} == {
        ("combination", BEDS, second[0].id),
        ("combination", HERTS, second[0].id),
    }
    assert len({one["id"] for one in entries}) == 1


# Reviews -------------------------------------------------------------------------------------------------------------


async def broken(system: System, reader: str = "stranger", force: str = HERTS) -> str:
    """The id of an access by break-glass to something of a force's, once it is to be reviewed."""
    event = looked(force, reader=reader, break_glass="life-at-risk", words="a child", ids=(str(uuid4()),))
    id_ = str(event.fact.accesses[0].id)
    await system.publish(event)

    async def is_owed() -> bool:
        return id_ in await owed(system, system.caller("supervisor", force, subject="sue"))

    await until(is_owed)
    return id_


async def owed(system: System, supervisor: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What the supervisor is to review, by id."""
    found = await system.get("/v1/break-glass", supervisor, limit=200)
    return {one["id"]: one for one in found["accesses"]}


async def review(system: System, access: str, supervisor: dict[str, str], copy: int = 0) -> httpx.Response:
    said = {"finding": "not-justified", "words": "spoken to"}
    return await system.clients[copy].post(f"/v1/break-glass/{access}/review", json=said, headers=supervisor)


async def test_what_was_opened_by_break_glass_is_reviewed_by_a_supervisor_of_that_force_alone_and_once(
    system: System,
) -> None:
    access = await broken(system)
    sue = system.caller("supervisor", HERTS, subject="sue")
    entry = (await owed(system, sue))[access]
    assert (entry["breakGlass"], entry["words"], entry["force"]) == ("life-at-risk", "a child", HERTS)
    for other in (
        system.caller("supervisor", CAMBS, subject="cat"),
        system.caller("supervisor", CAMBS, HERTS, home=CAMBS, subject="cat", alliance=True),
    ):
        assert access not in await owed(system, other)
        assert (await review(system, access, other)).status_code == 404
    assert (await review(system, access, system.caller("auditor", HERTS))).status_code == 403
    assert (await review(system, str(uuid4()), sue)).status_code == 404
    answers = await asyncio.gather(*(review(system, access, sue, copy=n % 2) for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5

    async def is_done() -> bool:
        return access not in await owed(system, sue)

    await until(is_done)
    assert (await review(system, access, sue)).status_code == 409


async def test_nobody_reviews_what_he_opened_himself(system: System) -> None:
    access = await broken(system, reader="sue")
    assert (await review(system, access, system.caller("supervisor", HERTS, subject="sue"))).status_code == 403
    assert (await review(system, access, system.caller("supervisor", HERTS, subject="ted"))).status_code == 201


async def test_a_review_is_due_at_the_end_of_the_next_day_in_england_and_counted_when_it_is_late(
    system: System,
) -> None:
    consumer = await Database.connect(system.logins.url, source="/recording", part=CONSUMER)
    try:
        before = {one.force: one for one in await accesses.count_owed(consumer)}
        late = [
            looked(HERTS, break_glass="life-at-risk", at=at)
            for at in (
                datetime(2026, 3, 27, 23, 59, tzinfo=UTC),  # the clocks change on the 29th
                datetime(2026, 6, 1, 22, 59, tzinfo=UTC),
                datetime(2026, 6, 1, 23, 1, tzinfo=UTC),  # past midnight in England
            )
        ]
        async with consumer.transaction() as connection:
            await connection.execute("SET LOCAL search_path TO access_1, public")
            await accesses.note(connection, late)
        due = {
            row["id"]: row["due_at"]
            for row in await consumer.fetch(
                "SELECT id, due_at FROM break_glass WHERE id = ANY ($1)",
                [UUID(event.fact.accesses[0].id) for event in late],
            )
        }
        assert [due[UUID(event.fact.accesses[0].id)] for event in late] == [
            datetime(2026, 3, 29, tzinfo=UTC),
            datetime(2026, 6, 2, 23, tzinfo=UTC),
            datetime(2026, 6, 3, 23, tzinfo=UTC),
        ]
        after = {one.force: one for one in await accesses.count_owed(consumer)}
        assert after[HERTS].overdue - (before[HERTS].overdue if HERTS in before else 0) == 3
    finally:
        await consumer.close()


async def test_in_whatever_order_access_and_review_come_and_however_often_it_is_the_same(system: System) -> None:
    consumer = await Database.connect(system.logins.url, source="/recording", part=CONSUMER)
    shown = "SELECT g.*, e.reader, w.said, w.review FROM break_glass AS g JOIN access_entry AS e USING (id, force)"
    shown += " JOIN access_words AS w USING (id, force) WHERE g.id = $1"
    try:
        found = []
        for order in ((0, 1), (1, 0), (1, 0, 0, 1)):
            id_ = str(uuid7())
            opened = looked(
                HERTS, id_=id_, break_glass="life-at-risk", words="a child", at=datetime(2026, 6, 1, tzinfo=UTC)
            )
            said = BreakGlassReviewed(access=id_, by="sue", finding="justified")
            reviewed = Event.of(
                said,
                source="/recording",
                subject=f"review/{id_}",
                version=1,
                force=HERTS,
                time=datetime(2026, 6, 2, tzinfo=UTC),
            )
            for at in order:
                async with consumer.transaction() as connection:
                    await connection.execute("SET LOCAL search_path TO access_1, public")
                    await accesses.note(connection, [(opened, reviewed)[at]])
            [row] = await consumer.fetch(shown, UUID(id_))
            found.append(tuple(row)[1:])
        assert found[0] == found[1] == found[2]
        assert "justified" in found[0]
    finally:
        await consumer.close()
