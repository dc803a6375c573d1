"""Every secret of a running system is changed while contacts arrive: none is refused or lost, each is routed once.

After each change the connections that stood by the old secret are cut, so that every service has to come with the new
one; its file alone was written, and no service was started again.

In the short run each secret's change stands for itself: `test_password`, `test_kafka_connections`, `test_turnover` and
`test_foreign_provider`, of tests/integration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_urlsafe

import asyncpg
import pytest

from deploy.local import parts
from deploy.local.issuer import signing_key
from deploy.local.kafka_access import set_passwords
from deploy.local.layout import SERVICE_PORTS
from deploy.local.secret_files import keep_secret
from deploy.local.topics import KEEPING
from libs.events.log import masters
from libs.events.log.keyring import read_masters
from libs.events.log.masters import Place
from tests.faults.load import Load, arriving, each_is_there_once
from tests.integration.logs import until
from tests.system import System

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


async def the_databases_passwords(running: System) -> None:
    """File first, then the role, as the README has it. A login that comes between the two tries the old one again."""
    superuser = await asyncpg.connect(parts.postgres_server(running.layout).admin_url)
    try:
        for service in SERVICE_PORTS:
            new, file = token_urlsafe(24), running.layout.secrets / f"{service}.url"
            old, _, place = file.read_text().rpartition("@")
            keep_secret(running.layout.secrets, f"{service}.url", f"postgresql://{service}:{new}@{place}")
            await superuser.execute(f"ALTER ROLE {service} PASSWORD '{new}'")
            cut = await superuser.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND usename = $1", service
            )
            assert cut, f"{service} had no connection"
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(f"{old}@{place}")
    finally:
        await superuser.close()


async def kafkas_passwords(running: System) -> None:
    """Kafka first, then the file; then the node goes and comes back, and knows nobody by an old connection."""
    new = {service: token_urlsafe(24) for service in SERVICE_PORTS}
    await asyncio.to_thread(set_passwords, running.broker(), new)
    for service, password in new.items():
        keep_secret(running.layout.secrets, f"kafka-{service}.password", password)
    running.kill("kafka")
    running.restart("kafka")
    await asyncio.to_thread(running.wait, "kafka", patience_s=240.0)


async def the_issuers_key(running: System) -> None:
    """The issuer lists a new key and not the old one, whose tokens the gateways go on using."""
    before = signing_key(running.layout.secrets).thumbprint()
    (running.layout.secrets / "issuer.jwk").unlink()
    running.kill("issuer")
    running.restart("issuer")
    await asyncio.to_thread(running.wait, "issuer")
    assert signing_key(running.layout.secrets).thumbprint() != before


async def the_master_key(running: System) -> None:
    """Every key is wrapped by a new one, and the old one destroyed, as `libs.events.log.keyring` does it."""
    file = running.layout.secrets / "master.keys"
    places = [Place(f"/{service}", running.logins[service].owner_url) for service in KEEPING]
    *_, old = read_masters(file.read_text())
    await masters.rotate(file, places, print)
    await masters.destroy(file, places, old.id)
    assert old.id not in [master.id for master in read_masters(file.read_text())]


ROTATIONS: tuple[Callable[[System], Awaitable[None]], ...] = (
    the_databases_passwords,
    kafkas_passwords,
    the_issuers_key,
    the_master_key,
)
"""All there is to rotate. A new secret of the system is one more row."""
ROUNDS, CONTACTS = 8, 25


async def test_while_every_secret_is_rotated_no_contact_is_refused_and_each_is_routed_once(
    running: System, figures: Callable[[str], None]
) -> None:
    async with arriving(running) as load:
        total = Load(before=load.before)
        for _ in range(ROUNDS):
            for rotate in ROTATIONS:
                await until(load.more(CONTACTS), patience_s=60)
                await rotate(running)
                # Gateways that come with a token made after it: a key that the services do not know yet, for one.
                async with arriving(running, gateways=2, load=Load()) as newcomers:
                    await until(newcomers.more(CONTACTS), patience_s=60)
                await until(load.more(CONTACTS), patience_s=60)
                total.acknowledged |= newcomers.acknowledged
                total.refused += newcomers.refused
    total.acknowledged |= load.acknowledged
    total.refused += load.refused
    await each_is_there_once(running, total)
    figures(f"{len(total.acknowledged)} contacts arrived while {len(ROTATIONS) * ROUNDS} secrets were rotated")
    assert total.refused == 0, f"{total.refused} of {len(total.acknowledged)} were told to come again"
