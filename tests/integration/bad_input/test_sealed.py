"""Who somebody is stands readable in no table of any service and on no topic, and is read by who may read it."""

from __future__ import annotations

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.local import parts
from libs.events.log import kafka
from tests.integration.bad_input.service import SERVICES, Services
from tests.integration.bad_input.test_planted import GOOD, NAME, NUMBER, PERSONAL, STREET, WORDS, dispose
from tests.integration.logs import until

_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, n.nspname || ' ' || c.relname AS said
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""


async def test_planted_persons_are_readable_in_no_table_and_on_no_topic(services: Services) -> None:
    system = services.system
    async with httpx.AsyncClient(timeout=20, headers=services.headers("planted-too")) as client:
        contacts = f"{system.url('intake')}/v1/contacts"
        taken = [
            await client.post(f"{contacts}/{channel}", json=body, headers={"Idempotency-Key": f"kept-{channel}"})
            for channel, body in GOOD
        ]
        assert [answer.status_code for answer in taken] == [201] * 3
        call, report, chat = (answer.json()["id"] for answer in taken)
        answer = await client.post(f"{contacts}/{chat}/messages", json={"text": f"{WORDS}, {NAME}"})
        assert answer.status_code == 201
        await dispose(client, services, call)

        shown = await client.get(f"{contacts}/{call}")
        assert all(what in shown.text for what in (NUMBER, NAME, WORDS, STREET)), "who may read it does"
        incident = await until_opened(client, services, report)
        assert incident["summary"] == WORDS, "the incident's own copy"

        async def are_shown() -> bool:
            audit = await client.get(f"{system.url('recording')}/v1/audit", params={"contact": report})
            return audit.text.count("incident-opened") > 0

        await until(are_shown)
        await services.quiet()
    found = await tables(services) | await topics(services)
    assert call in found["intake: public event"], "what was stored is not what was looked at"
    assert call in found["hueandcry.keys"]
    assert '"personal":"' in found["hueandcry.contacts"]
    assert '"personal":"' in found["recording: public event"]
    assert call in found["router: public key_copy"]
    wrong = [f"{what} in {where}" for where, text in found.items() for what in PERSONAL if what in text]
    assert not wrong, "\n".join(wrong)


async def until_opened(client: httpx.AsyncClient, services: Services, report: str) -> dict[str, str]:
    url = f"{services.system.url('recording')}/v1/incidents"
    opened: list[dict[str, str]] = []

    async def is_opened() -> bool:
        listed = (await client.get(url, params={"limit": 100})).json()["incidents"]
        for one in listed:
            incident = (await client.get(f"{url}/{one['id']}")).json()
            if report in incident.get("contacts", ()):  # another force's is not shown
                opened.append(incident)
        return bool(opened)

    await until(is_opened)
    return opened[0]


async def tables(services: Services) -> dict[str, str]:
    """All rows of every table of every service, what is binary as the text it may be."""
    found = {}
    admin = parts.postgres_server(services.system.layout).admin_url
    for service in SERVICES:
        connection = await asyncpg.connect(admin, database=services.system.logins[service].url.rpartition("/")[2])
        try:
            for table in await connection.fetch(_TABLES):
                rows = await connection.fetch(f"SELECT * FROM {table['name']}")
                found[f"{service}: {table['said']}"] = "\n".join(
                    map(readable, (v for row in rows for v in row.values()))
                )
        finally:
            await connection.close()
    return found


def readable(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(map(readable, value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


async def topics(services: Services) -> dict[str, str]:
    """Every record of every topic of ours."""
    broker = services.system.broker()
    found: dict[str, str] = {}
    async with kafka.started(AIOKafkaConsumer(**broker.options(), auto_offset_reset="earliest")) as consumer:
        names = [name for name in await consumer.topics() if name.startswith("hueandcry.")]
        known = await kafka.topics(consumer, names)
        partitions = [TopicPartition(name, n) for name, topic in known.items() for n in topic.partitions]
        ends = {tp: end for tp, end in (await consumer.end_offsets(partitions)).items() if end}
        consumer.assign([*ends])
        await consumer.seek_to_beginning(*ends)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                said = (part for r in records for part in (r.key, r.value, *(value for _, value in r.headers)))
                found[tp.topic] = found.get(tp.topic, "") + "\n".join(readable(part) for part in said if part)
    return found
