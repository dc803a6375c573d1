"""Secrets and personal data that are known to be there are found where they belong and nowhere else: in no log of any
part, no metric, no trace, no error's answer of any service, and in no process's arguments. (A process's environment is
its owner's to read.)
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
import pytest_asyncio

from deploy.local import parts
from deploy.local.databases import make_database
from deploy.local.parts import service_environment, what_is_missing
from deploy.local.process import Child, free_port
from deploy.local.secret_files import keep_secret, secret
from libs.events.log.broker import Broker
from libs.events.log.roles import RELAY, Login
from tests import nursery
from tests.integration.bad_input.service import BODIES, SERVICES, Services
from tests.integration.logs import until

NUMBER, OTHER_NUMBER, NAME, STREET = "+447700900987", "+447700900876", "Peregrine Quillfeather", "Wobblethwaite Lane"
EMAIL, HANDLE, WORDS = "quillfeather@planted.example", "quilly-1979", "He keeps the spare key under the gnome"
PLACE = {"lat": 52.204837, "lon": 0.138264}
PERSONAL = {
    *(NUMBER, NUMBER[3:], "07700 900987", OTHER_NUMBER[3:], NAME, "Quillfeather", STREET, EMAIL, HANDLE, WORDS),
    *("under the gnome", str(PLACE["lat"]), str(PLACE["lon"])),
}
TRACED = {
    "traceparent": f"00-{quote(NAME)}-{NUMBER}-01",
    "tracestate": f"name={NAME.replace(' ', '_')},number={NUMBER}",
    "baggage": f"name={quote(NAME)},words={quote(WORDS)}",
    "X-Request-Id": NUMBER,
}
"""What a careless caller's tracing may hold."""
PASSWORD = "open-sesame-8731"  # of a database that is not there, and of who signs in by Basic
BAD_KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJplantedplantedplanted\n-----END PRIVATE KEY-----"

CALL: dict[str, Any] = {
    "line": "999",
    "callingNumber": NUMBER,
    "contactNumber": "07700 900876",
    "name": NAME,
    "safeContact": f"only by {NAME}'s sister",
    "words": WORDS,
    "locations": [
        {"of": "caller", "source": "aml", "shape": {"kind": "circle", "radiusM": 20, **PLACE}},
        {"of": "incident", "source": "caller", "shape": {"kind": "civic", "street": STREET, "postcode": "CB1 1AA"}},
    ],
}
REPORT = {"words": WORDS, "name": NAME, "email": EMAIL, "contactNumber": NUMBER}
CHAT = {"medium": "chat", "words": WORDS, "name": NAME, "handle": HANDLE}
GOOD = [("telephone", CALL), ("web", REPORT), ("online", CHAT)]


@dataclass
class Found:
    """Where the planted must not be: texts, by where they come from."""

    texts: dict[str, str] = field(default_factory=dict)
    errors: int = 0

    def answer(self, name: str, response: httpx.Response) -> None:
        assert response.status_code >= 400, f"{name}: {response.status_code} {response.text[:200]}"
        self.errors += 1
        said = "\n".join(f"{field}: {value}" for field, value in response.headers.items())
        self.texts[f"answer {self.errors} ({name}, {response.status_code})"] = f"{said}\n{response.text}"


@dataclass(frozen=True)
class Broken:
    service: str
    url: str
    child: Child
    log: Path


@pytest_asyncio.fixture(scope="module")
async def broken(services: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Broken]]:
    """Copies of each service that fail: one whose database is away, one whose database holds no tables, so that every
    question to it is a mistake of ours."""
    system, folder = services.system, tmp_path_factory.mktemp("broken")
    admin_url = parts.postgres_server(system.layout).admin_url
    connection = await asyncpg.connect(admin_url)
    started: dict[str, Broken] = {}
    for service in SERVICES:
        empty = await make_database(
            connection,
            admin_url,
            service,
            lambda role: secret(system.layout.secrets, f"{role}.password"),
            database=f"{service}_empty",
        )
        away = f"postgresql://{service}:{PASSWORD}@127.0.0.1:{free_port()}/{service}"
        for kind, url in (("away", away), ("mistaken", empty.url)):
            name, port = f"{service}, {kind}", free_port()
            log = folder / f"{service}-{kind}.log"
            environment = service_environment(system.layout, system.logins[service], Broker("127.0.0.1:1")) | {
                "PORT": str(port),
                "DATABASE_URL_FILE": str(keep_secret(folder / "secrets", f"{service}-{kind}", url)),
                "LOG_LEVEL": "DEBUG",
            }
            child = nursery.start(name, f"services.{service}", log=log, env=environment)
            started[name] = Broken(service, f"http://127.0.0.1:{port}", child, log)
    await connection.close()
    yield started
    for one in started.values():
        one.child.stop(12.0)


async def test_planted_secrets_and_persons_are_in_no_log_metric_error_or_process_list(
    services: Services, broken: dict[str, Broken]
) -> None:
    found = Found()
    layout = services.system.layout
    token = services.headers("planted")["Authorization"].removeprefix("Bearer ")
    async with httpx.AsyncClient(timeout=20, headers=TRACED | {"Authorization": f"Bearer {token}"}) as client:
        intake = services.system.url("intake")
        taken = [await client.post(f"{intake}/v1/contacts/{channel}", json=body) for channel, body in GOOD]
        assert [answer.status_code for answer in taken] == [201] * 3
        contact = taken[2].json()["id"]
        answer = await client.post(f"{intake}/v1/contacts/{contact}/messages", json={"text": f"{WORDS}, {NAME}"})
        assert answer.status_code == 201
        await dispose(client, services, taken[0].json()["id"])
        await ask_wrongly(client, services, contact, token, found)
        await ask_each_wrongly(client, services, found)
        for name, one in broken.items():
            await until(lambda url=one.url: what_is_missing(url + "/healthz") is None, patience_s=60)  # type: ignore[misc]
            await ask_the_broken(client, name, one, services, found)
        for service in SERVICES:
            found.texts[f"metrics of {service}"] = (await client.get(f"{services.system.url(service)}/metrics")).text
            found.texts[f"readiness of {service}"] = (await client.get(f"{services.system.url(service)}/readyz")).text
        for name, one in broken.items():
            found.texts[f"metrics of {name}"] = (await client.get(f"{one.url}/metrics")).text
            found.texts[f"readiness of {name}"] = (await client.get(f"{one.url}/readyz")).text
    logs = {path.name: path for path in layout.log("any").parent.glob("*.log")}
    assert {f"{service}.log" for service in SERVICES} | {"postgres.log", "kafka.log", "issuer.log"} <= set(logs)
    found.texts |= {f"log of {name}": path.read_text(errors="replace") for name, path in logs.items()}
    found.texts |= {f"log of {name}": one.log.read_text(errors="replace") for name, one in broken.items()}
    found.texts |= process_list()
    found.texts |= {f"traces of {service}": await traces(services, service) for service in SERVICES}

    for service in ("intake", "router", "recording"):
        assert "unhandled error" in found.texts[f"log of {service}, mistaken"], "the fault to be provoked was not"
        assert any(f"({service}, mistaken" in where and ", 500)" in where for where in found.texts)
        assert any(f"({service}, away" in where and ", 503)" in where for where in found.texts)
    assert "00-" in found.texts["traces of intake"]
    assert len([where for where in found.texts if where.startswith("process")]) > 8
    planted = PERSONAL | secrets(layout.secrets) | {PASSWORD, token, token.split(".")[2], BAD_KEY.splitlines()[1]}
    assert len(planted) > len(PERSONAL) + 8, "there are no secrets to look for"
    wrong = [
        f"{_shortly(what)} in {where}: …{text[max(0, text.index(what) - 150) :][:200]}…"
        for where, text in found.texts.items()
        for what in planted
        if what in text
    ]
    assert not wrong, "\n".join(wrong[:10])


async def dispose(client: httpx.AsyncClient, services: Services, contact: str) -> None:
    url = f"{services.system.url('recording')}/v1/contacts/{contact}/disposition"
    answer = await client.post(
        url, json={"disposition": "incident-opened", "incident": {"summary": f"{NAME}: {WORDS}"}, "note": WORDS}
    )
    assert answer.status_code == 201, answer.text


async def ask_wrongly(client: httpx.AsyncClient, services: Services, contact: str, token: str, found: Found) -> None:
    """All that a client may get wrong, with what is personal or secret in every place there is for it."""
    intake, router = services.system.url("intake"), services.system.url("router")
    calls, whole = f"{intake}/v1/contacts/telephone", json.dumps(CALL)
    as_json = {"Content-Type": "application/json"}
    for name, content in {
        "cut off": whole[:-1],
        "no JSON": f"{whole} {NAME}",
        "a name twice": whole[:-1] + f', "words": "{WORDS}"}}',
        "not UTF-8": whole.encode() + b"\xff",
        "deep": '{"words":' * 100 + f'"{WORDS}"' + "}" * 100,
        "too large": whole[:-1] + f', "x": "{NAME * 20_000}"}}',
    }.items():
        found.answer(name, await client.post(calls, content=content, headers=as_json))
    for name, change in {
        "a number that is none": {"callingNumber": f"{NUMBER} or so"},
        "a line that is none": {"line": NUMBER},
        "a force that is none": {"presentedForce": NAME},
        "words in the wrong place": {"locations": WORDS},
        "a shape that is none": {"locations": [{"of": NAME, "source": HANDLE, "shape": {"kind": STREET, **PLACE}}]},
        "a time that is none": {"presentedAt": NUMBER},
        "more than is known": {"extra": [NAME, NUMBER, WORDS]},
        "a key where none belongs": {"callId": BAD_KEY},
    }.items():
        found.answer(name, await client.post(calls, json=CALL | change))
    found.answer("text", await client.post(calls, content=whole, headers={"Content-Type": "text/plain"}))
    found.answer("no e-mail", await client.post(f"{intake}/v1/contacts/web", json=REPORT | {"email": NAME}))
    found.answer("anonymous", await client.post(f"{intake}/v1/contacts/web", json=REPORT | {"anonymous": True}))
    for address in (
        f"{intake}/v1/contacts/{quote(NUMBER)}",
        f"{intake}/v1/contacts/{quote(NAME)}/messages/{HANDLE}",
        f"{intake}/v1/contacts/{contact}?number={quote(NUMBER)}&access_token={token}",
        f"{router}/v1/queues/{quote(STREET)}",
        f"{router}/v1/queues/bedfordshire-999?after={quote(NAME)}",
        f"{services.system.url('directory')}/v1/locate?postcode={quote(NAME)}",
        f"{services.system.url('recording')}/v1/audit?contact={quote(NUMBER)}",
        f"{services.system.url('recording')}/v1/contacts?disposition=none&force={quote(NAME)}",
    ):
        found.answer("address", await client.get(address))
    for headers in (
        {"Authorization": f"Bearer {token[:-4]}AAAA"},
        {"Authorization": f"Bearer {token}.{token}"},
        {"Authorization": f"Basic intake:{PASSWORD}"},
        {"Authorization": f"Bearer {re.sub(r'[^!-~]', '', BAD_KEY)}"},
        {"Authorization": f"Bearer {token}", "Idempotency-Key": NUMBER * 40},
    ):
        found.answer("header", await client.post(calls, json=CALL, headers=headers))
    huge = await client.get(
        f"{intake}/readyz", headers={"X-Name": NAME * 1500, "traceparent": NUMBER, "Cookie": PASSWORD}
    )
    found.answer("a huge head", huge)
    ended = {"reason": "caller-ended"}
    await client.post(f"{intake}/v1/contacts/{contact}/end", json=ended)
    found.answer("late", await client.post(f"{intake}/v1/contacts/{contact}/messages", json={"text": WORDS}))


async def ask_each_wrongly(client: httpx.AsyncClient, services: Services, found: Found) -> None:
    """Every operation of every service, with what is personal where it does not belong. (The name of a member that is
    not known is told to who sent it, and to nobody else.)"""
    for operation in services.operations("get", "post"):
        if not operation.guarded:
            continue
        body = BODIES.get(operation.id) if operation.takes_body else None
        url = services.url(operation)
        asked = [client.request(operation.method, url, json=body, params={"colour": NUMBER})]
        if operation.parameters:
            strange = services.url(operation, **dict.fromkeys(operation.parameters, quote(NAME)))
            asked.append(client.request(operation.method, strange, json=body))
        if body is not None:
            asked.append(client.request(operation.method, url, json={"colour": NUMBER, **body}))
            asked.append(client.request(operation.method, url, content=json.dumps(body) + WORDS))
            asked += [client.request(operation.method, url, json=body | {name: {"colour": WORDS}}) for name in body]
        for answer in await asyncio.gather(*asked):
            found.answer(str(operation), answer)


async def traces(services: Services, service: str) -> str:
    """What a service's events say of the traces that they came in."""
    relay = await Login(services.system.logins[service].url).connect(RELAY, server_settings={})
    try:
        return "\n".join(row["traceparent"] or "" for row in await relay.fetch("SELECT traceparent FROM event"))
    finally:
        await relay.close()


async def ask_the_broken(client: httpx.AsyncClient, name: str, one: Broken, services: Services, found: Found) -> None:
    """What is right in every way, where nothing can be right."""
    for operation in services.operations("get", "post"):
        if operation.service == one.service and operation.guarded:
            path = operation.path.format(**{parameter: services.known[parameter] for parameter in operation.parameters})
            body = BODIES[operation.id] if operation.takes_body else None
            answer = await client.request(operation.method, one.url + path, json=body)
            if answer.status_code >= 400:  # the directory may know by heart
                found.answer(f"{name}, {operation.id}", answer)
    if one.service == "intake":
        await ask_the_broken_intake(client, name, one.url, found)


async def ask_the_broken_intake(client: httpx.AsyncClient, name: str, url: str, found: Found) -> None:

    async def asks() -> list[httpx.Response]:
        return list(
            await asyncio.gather(
                *(client.post(f"{url}/v1/contacts/{channel}", json=body) for channel, body in GOOD),
                client.post(f"{url}/v1/contacts/01a2141d-b1e9-70ab-b876-5fe15d5b8b6a/messages", json={"text": WORDS}),
                client.get(f"{url}/v1/contacts/{quote(NUMBER)}"),
                client.get(f"{url}/v1/parked"),
            )
        )

    for answer in await asks():
        assert answer.status_code >= 500 or answer.status_code == 404, answer.text
        found.answer(name, answer)


def process_list() -> dict[str, str]:
    """The arguments of every process there is."""
    listed = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            listed[f"process {path.parent.name}"] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
    return listed


def secrets(folder: Path) -> set[str]:
    """What the run keeps in files: passwords, and the private part of keys."""
    found = set()
    for path in folder.iterdir():
        text = path.read_text().strip()
        if path.suffix == ".jwk":
            found.add(json.loads(text)["d"])
        elif match := re.match(r"[a-z]+://[^:/]+:([^@]+)@", text):
            found.add(match[1])
        elif path.name == "master.keys":
            found |= {line.split()[1] for line in text.splitlines()}
        elif "\n" not in text:
            found.add(text)
        else:
            found |= {line for line in text.splitlines() if len(line) > 20 and "-----" not in line}
    return found


def _shortly(what: str) -> str:
    return what if what in PERSONAL else f"a secret ({what[:3]}…)"
