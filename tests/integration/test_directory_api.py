"""The directory's API over the shipped areas, loaded by its own command; Kafka is away throughout."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from deploy.local.process import free_port
from libs.service.caller import ROLES
from services.directory.alliance_file import SHIPPED
from services.directory.app import make_app
from services.directory.areas import load_areas
from services.directory.settings import DirectorySettings
from tests import nursery
from tests.conftest import NewDatabase
from tests.integration.intake import Tokens, an_issuer, bearer
from tests.integration.logs import until

THREE = "bedfordshire-cambridgeshire-hertfordshire"
READS = ("alliance", "forces", "forces/bedfordshire", "sites", "queues", "greetings", "crime-references")
NOBODY = "127.0.0.1:1"
"""Where no Kafka listens."""


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with an_issuer(tmp_path_factory.mktemp("issuer")) as issued:
        yield issued


async def command(url: str, *arguments: str) -> tuple[int, str, str]:
    """`python -m services.directory …`: exit code, output, errors."""
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
    return await nursery.command("services.directory", *arguments, env=env)


@asynccontextmanager
async def a_copy(url: str, tokens: Tokens) -> AsyncIterator[httpx.AsyncClient]:
    """A copy of the directory, and a handler's client of it."""
    app = make_app(DirectorySettings(database_url=url, kafka_bootstrap_servers=NOBODY, oidc_issuer=tokens.issuer_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
            base_url="http://directory",
            headers=tokens.handler("bedfordshire"),
        ) as client,
    ):
        yield client


@pytest_asyncio.fixture(scope="module")
async def client(database: NewDatabase, tokens: Tokens) -> AsyncIterator[httpx.AsyncClient]:
    url = (await database("directory")).url
    code, _, err = await command(url, "load", THREE)
    assert code == 0, err
    async with a_copy(url, tokens) as opened:
        await until(lambda: _is_ready(opened))
        yield opened


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def get(client: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(client: httpx.AsyncClient, path: str, **parameters: Any) -> dict[str, Any]:
    answer = await client.get(path, params=parameters)
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    return document


async def test_before_anything_is_loaded_it_says_what_is_missing_and_then_follows(
    database: NewDatabase, tokens: Tokens
) -> None:
    url = (await database("directory")).url
    async with a_copy(url, tokens) as client:
        readiness = await client.get("/readyz")
        assert readiness.status_code == 503
        assert "no alliance is known" in readiness.text
        for path in ("/v1/alliance", "/v1/forces", "/v1/locate?lat=52&lon=0"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
        code, out, _ = await command(url, "load", "east-midlands")
        assert code == 0
        assert out.startswith("East Midlands: ")
        await until(lambda: _is_ready(client), patience_s=10)
        assert (await get(client, "/v1/alliance"))["id"] == "east-midlands"


async def test_the_load_command_loads_once_and_names_what_is_wrong(database: NewDatabase, tmp_path: Path) -> None:
    url = (await database("directory")).url
    generation = load_areas().generation
    code, out, err = await command(url, "load", str(SHIPPED / f"{THREE}.toml"))
    assert (code, err) == (0, "")
    assert f"Boundaries {generation} are in force" in out
    code, out, err = await command(url, "load", THREE)
    assert (code, out, err) == (0, "Bedfordshire, Cambridgeshire and Hertfordshire: nothing changed.\n", "")
    code, out, _ = await command(url, "load", "east-midlands")
    assert code == 0
    assert "Switched from Bedfordshire, Cambridgeshire and Hertfordshire to East Midlands." in out
    assert "Withdrawn: line/bedfordshire-999-1" in out

    text = (SHIPPED / "east-midlands.toml").read_text(encoding="utf-8")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(text.replace('pnc_code = "33"', 'pnc_code = "99"'), encoding="utf-8")
    code, out, err = await command(url, "load", str(wrong))
    assert (code, out, err) == (2, "", "forces: the pnc_code of leicestershire is 33, not 99.\n")
    wrong.write_text(text.replace("priority = 1\n", "priority = 11\n", 1), encoding="utf-8")
    code, out, err = await command(url, "load", str(wrong))
    assert (code, out) == (2, "")
    assert err == f"{wrong}, line 50: queues[2].priority: Input should be less than or equal to 10.\n"
    code, _, err = await command(url, "load", "atlantis")
    assert (code, err.count("\n")) == (2, 1)
    code, _, err = await command("postgres://directory:secret@127.0.0.1:1/directory", "load", THREE)
    assert (code, err.count("\n")) == (1, 1)
    assert "secret" not in err


async def test_the_service_starts_serves_and_stops_in_order(database: NewDatabase, tokens: Tokens) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.directory"),
        env={
            "PATH": os.environ["PATH"],
            "PORT": str(port),
            "DATABASE_URL": (await database("directory")).url,
            "KAFKA_BOOTSTRAP_SERVERS": NOBODY,
            "OIDC_ISSUER": tokens.issuer_url,
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await until(lambda: _answers(client))
            assert (await client.get("/v1/alliance")).status_code == 401
            assert "locate" in (await client.get("/openapi.json")).text
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def test_it_is_ready_and_says_that_nothing_is_published_while_kafka_is_away(client: httpx.AsyncClient) -> None:
    readiness = await client.get("/readyz")
    assert readiness.status_code == 200
    assert "publishing" in readiness.text


async def test_what_the_alliance_is(client: httpx.AsyncClient) -> None:
    alliance = await get(client, "/v1/alliance")
    assert alliance["members"] == ["bedfordshire", "cambridgeshire", "hertfordshire"]
    assert alliance["defaultQueue"] == "alliance-default"
    assert alliance["generation"] == load_areas().generation
    forces = await get(client, "/v1/forces")
    assert len(forces) == 48
    assert [force["id"] for force in await get(client, "/v1/forces", member=True)] == alliance["members"]
    assert len(await get(client, "/v1/forces", member=False)) == 45
    bedfordshire = await get(client, "/v1/forces/bedfordshire")
    assert {way["to"] for way in bedfordshire.pop("reach")} == {"999", "101", "https://www.beds.police.uk/"}
    assert bedfordshire == {
        "id": "bedfordshire",
        "name": "Bedfordshire",
        "onsCode": "E23000026",
        "pncCode": "40",
        "member": True,
        "agency": "bedfordshire.queues.bch.example",
        "signedPolicies": False,
        "kind": "territorial",
    }
    assert [site["name"] for site in await get(client, "/v1/sites")] == ["Hinchingbrooke", "Welwyn Garden City"]
    queues = await get(client, "/v1/queues")
    assert len(queues) == 13
    assert await get(client, "/v1/queues", force="bedfordshire") == [
        queue for queue in queues if queue["force"] == "bedfordshire"
    ]
    assert {queue["uri"] for queue in queues if queue["id"] == "alliance-default"} == {
        "sip:alliance-default@queues.bch.example"
    }


async def test_hours_and_greetings_and_crime_references_are_what_the_file_says(client: httpx.AsyncClient) -> None:
    hours = {one["id"]: one for one in await get(client, "/v1/hours", force="bedfordshire")}
    assert set(hours) == {"bedfordshire", "bedfordshire-online"}
    assert (hours["bedfordshire"]["open"], hours["bedfordshire"]["changesAt"]) == (True, None)
    [_, christmas] = await get(client, "/v1/hours", force="bedfordshire", at="2027-12-27T09:00:00Z")
    assert (christmas["open"], christmas["changesAt"]) == (False, "2027-12-27T10:00:00Z")
    assert christmas["holiday"] == "Christmas Day (observed)"
    calendars = {one["id"]: one for one in await get(client, "/v1/holidays")}
    assert set(calendars) == {"england-and-wales", "scotland", "northern-ireland"}
    [greeting] = await get(client, "/v1/greetings", force="hertfordshire", line="101", language="EN")
    assert greeting["text"].startswith("You are through to Hertfordshire")
    assert await get(client, "/v1/greetings", line="999") == []
    [reference] = await get(client, "/v1/crime-references", force="cambridgeshire")
    assert reference["example"].startswith("35/000001/")


async def test_one_version_of_the_agreement_is_in_force_at_any_moment(
    client: httpx.AsyncClient, tokens: Tokens
) -> None:
    assert (await refused(client, "/v1/agreement"))["status"] == 403
    finance = bearer(tokens.of("finance"))

    async def at(**moment: str) -> httpx.Response:
        return await client.get("/v1/agreement", params=moment, headers=finance)

    first, second = (await at(at="2026-03-31T22:59:59Z")).json(), (await at(at="2026-04-01")).json()
    assert (first["id"], second["id"]) == ("2025-1", "2026-1")
    assert first["ends"] == second["begins"] == "2026-03-31T23:00:00Z"
    assert (await at()).json() == (await at(at="2030-01-01")).json() == second
    [contact, _, sites] = second["services"]
    assert contact["sharedBy"] == "demand"
    assert contact["shares"]["bedfordshire"] == pytest.approx(10082 / (10082 + 11797 + 14551))
    assert sites["shares"] == pytest.approx({"bedfordshire": 0.3, "cambridgeshire": 0.35, "hertfordshire": 0.35})
    assert (await at(at="2025-03-31")).status_code == 404
    assert (await at(at="2026-04-01", known_at="2020-01-01")).status_code == 404
    versions = (await client.get("/v1/agreements", headers=finance)).json()
    assert [version["id"] for version in versions] == ["2025-1", "2026-1"]


async def test_what_was_is_told_as_it_was_then(database: NewDatabase, tokens: Tokens) -> None:
    url = (await database("directory")).url
    assert (await command(url, "load", THREE))[0] == 0
    async with a_copy(url, tokens) as client:
        await until(lambda: _is_ready(client))
        [only] = await get(client, "/v1/forces/bedfordshire/history")
        between = datetime.now(UTC).isoformat()
        before = [await get(client, f"/v1/{path}") for path in READS]
        assert (await command(url, "load", "east-midlands"))[0] == 0

        async def switched() -> bool:
            return bool((await get(client, "/v1/alliance"))["id"] == "east-midlands")

        await until(switched)
        for path, was in zip(READS, before, strict=True):
            then = await get(client, f"/v1/{path}", at=between)
            assert then == was, path
            assert await get(client, f"/v1/{path}") != was, path
            assert (await refused(client, f"/v1/{path}", at="2020-01-01"))["status"] == 404
            assert (await refused(client, f"/v1/{path}", at="2999-01-01"))["status"] == 422
        history = await get(client, "/v1/forces/bedfordshire/history")
        assert [(one["version"], one["withdrawn"]) for one in history] == [(1, False), (2, False)]
        assert history[0] == only
        was = await get(client, "/v1/forces/bedfordshire", at=history[0]["since"])
        assert was["member"] is True
        assert (await get(client, "/v1/forces/bedfordshire", at=history[1]["since"]))["member"] is False
        assert (await refused(client, "/v1/forces/ruritania/history"))["status"] == 404


async def test_lines_are_for_those_who_run_them(client: httpx.AsyncClient, tokens: Tokens) -> None:
    assert (await refused(client, "/v1/lines"))["status"] == 403
    gateway = bearer(tokens.of("gateway"))
    lines = (await client.get("/v1/lines", params={"force": "hertfordshire"}, headers=gateway)).json()
    assert [line["id"] for line in lines] == ["hertfordshire-101-1", "hertfordshire-999-1", "hertfordshire-999-2"]
    assert lines[1]["trunk"] == "example-999-hertfordshire-1"
    assert lines[1]["dialledNumber"] == "+441632960411"


async def test_without_a_token_nothing_is_told_and_every_role_but_a_partner_may_ask_who_owns_a_place(
    client: httpx.AsyncClient, tokens: Tokens
) -> None:
    for path in ("alliance", "forces", "forces/kent", "sites", "queues", "lines", "boundaries", "locate?lat=52&lon=0"):
        assert (await client.get(f"/v1/{path}", headers={"Authorization": ""})).status_code == 401
    for role in ROLES:
        answer = await client.get("/v1/locate?lat=52&lon=0", headers=bearer(tokens.of(role)))
        assert answer.status_code == (403 if role == "partner" else 200)


async def test_the_boundaries_in_force_with_their_attribution(client: httpx.AsyncClient) -> None:
    boundaries = await get(client, "/v1/boundaries")
    shipped = load_areas()
    assert boundaries["generation"] == shipped.generation
    assert boundaries["attribution"] == shipped.attribution
    assert boundaries["inUse"] is True
    assert len(boundaries["areas"]) == 43
    assert all(len(sha256) == 64 for area in boundaries["areas"] for sha256 in area["hashes"])


@pytest.mark.parametrize(
    ("place", "force", "member"),
    [
        ({"lat": 52.2053, "lon": 0.1218}, "cambridgeshire", True),  # Cambridge
        ({"lat": 52.2405, "lon": -0.9027, "radius_m": 500}, "northamptonshire", False),  # Northampton
        ({"lat": 52.5695, "lon": -0.2405, "radius_m": 0}, "cambridgeshire", True),  # Peterborough
        ({"postcode": "LU1 2NX"}, "bedfordshire", True),  # Luton
        ({"postcode": "sg87aa"}, "hertfordshire", True),  # Royston
        ({"postcode": " PE9  2RA "}, "lincolnshire", False),  # Stamford
    ],
)
async def test_a_place_has_its_owner(
    client: httpx.AsyncClient, place: dict[str, Any], force: str, member: bool
) -> None:
    found = await get(client, "/v1/locate", **place)
    assert found["owningForce"] == force
    assert found["member"] is member
    [candidate] = found["candidates"]
    assert (candidate["force"], candidate["share"], candidate["member"]) == (force, 1.0, member)
    assert not found["ask"]
    assert (found["question"], found["nearer"]) == (None, [])
    assert found["confidence"] == 1.0
    assert not found["outside"]
    assert found["borderMetres"] > 0
    assert found["generation"] == load_areas().generation


async def test_a_place_where_four_forces_meet_is_too_close_to_say(client: httpx.AsyncClient) -> None:
    found = await get(client, "/v1/locate", lat=52.6402, lon=-0.4950, radius_m=3000)
    assert found["ask"]
    assert {candidate["force"] for candidate in found["candidates"]} == {
        *("cambridgeshire", "leicestershire", "lincolnshire", "northamptonshire")
    }
    shares = [candidate["share"] for candidate in found["candidates"]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert found["owningForce"] == found["candidates"][0]["force"]
    assert found["borderMetres"] < found["accuracyMetres"]


@pytest.mark.parametrize("place", [{"lat": 55.95, "lon": -3.19}, {"lat": -33.0, "lon": 151.0}, {"postcode": "EH1 1YZ"}])
async def test_a_place_outside_of_every_area_is_nobodys(client: httpx.AsyncClient, place: dict[str, Any]) -> None:
    found = await get(client, "/v1/locate", **place)
    assert found["outside"]
    assert found["owningForce"] is None
    assert found["member"] is False
    assert found["candidates"] == []


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ("", 422, "lat"),
        ("lat=52", 422, "lon"),
        ("lon=0", 422, "lat"),
        ("radius_m=5", 422, "lat"),
        ("lat=91&lon=0", 422, "lat"),
        ("lat=nan&lon=0", 422, "lat"),
        ("lat=52&lon=-inf", 422, "lon"),
        ("lat=52&lon=200", 422, "lon"),
        ("lat=north&lon=0", 422, "lat"),
        ("lat=52&lon=0&radius_m=-1", 422, "radius_m"),
        ("lat=52&lon=0&radius_m=200001", 422, "radius_m"),
        ("lat=52&lon=0&radius=5", 422, "radius"),
        ("lat=52&lon=0&postcode=CB1+1AA", 422, "postcode"),
        ("postcode=", 422, "postcode"),
        ("postcode=CB1", 422, "postcode"),
        ("postcode=" + "C" * 100, 422, "postcode"),
        ("postcode=%EF%BC%A3B1+1AA", 422, "postcode"),
        ("postcode=ZZ9+9ZZ", 404, None),
        ("grid_reference=TL+356+40", 422, "grid_reference"),
        ("grid_reference=XX+356+407", 422, "grid_reference"),
        ("grid_reference=TL+356+407&postcode=CB1+1AA", 422, "postcode"),
        ("grid_reference=TL+356+407&lat=52", 422, "grid_reference"),
        ("lat=52&lon=0&certainty_percent=101", 422, "certainty_percent"),
    ],
)
async def test_what_is_no_place_is_refused_with_its_name(
    client: httpx.AsyncClient, query: str, status: int, parameter: str | None
) -> None:
    answer = await client.get(f"/v1/locate?{query}")
    document = answer.json()
    assert answer.status_code == status, document
    assert answer.headers["content-type"] == "application/problem+json"
    if parameter is not None:
        assert document["errors"][0]["parameter"] == parameter
        assert document["detail"].startswith(f"{parameter}: ")


async def test_an_overlay_suggests_and_the_owner_stays_the_owner(
    database: NewDatabase, tokens: Tokens, tmp_path: Path
) -> None:
    url = (await database("directory")).url
    assert (await command(url, "load", THREE))[0] == 0
    bedford = (52.1386, -0.4667)  # its castle: no station is near
    file = tmp_path / "stations.geojson"
    point = {"type": "Point", "coordinates": [bedford[1], bedford[0]]}
    feature = {"type": "Feature", "properties": {"crs": "BDM", "name": "Bedford"}, "geometry": point}
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    given = ["overlay", str(file), "--overlay", "stations", "--title", "Stations", "--kind", "railway", "--id", "crs"]
    given += ["--name", "name", "--force", "british-transport", "--generation", "1", "--source", "made up"]
    async with a_copy(url, tokens) as client:
        await until(lambda: _is_ready(client))
        before = await get(client, "/v1/locate", lat=bedford[0], lon=bedford[1])
        assert before["suggestions"] == []
        assert (await command(url, *given))[:2] == (0, "Stations: 1 places of 1 suggest a force.\n")
        assert (await command(url, *given))[:2] == (0, "Stations: nothing changed.\n")

        async def suggested() -> bool:
            return bool((await get(client, "/v1/locate", lat=bedford[0], lon=bedford[1]))["suggestions"])

        await until(suggested)
        after = await get(client, "/v1/locate", lat=bedford[0], lon=bedford[1])
        [suggestion] = after.pop("suggestions")
        assert (suggestion["force"], suggestion["kind"], suggestion["metres"]) == ("british-transport", "railway", 0)
        before.pop("suggestions")
        assert after == before
        luton = await get(client, "/v1/locate", lat=51.8747, lon=-0.3683)
        assert [(one["force"], one["kind"]) for one in luton["suggestions"]] == [("bedfordshire", "airport")]
        cambridge = await get(client, "/v1/locate", lat=52.1941, lon=0.1377)
        assert [(one["force"], one["name"]) for one in cambridge["suggestions"]] == [("british-transport", "Cambridge")]
        overlays = {one["id"]: one for one in await get(client, "/v1/overlays")}
        assert set(overlays) == {"airports", "military-airfields", "railway-stations", "stations"}
        assert overlays["military-airfields"]["forces"] == ["ministry-of-defence"]
        file.write_text(file.read_text(encoding="utf-8").replace("Bedford", "Bedford Midland"), encoding="utf-8")
        code, _, err = await command(url, *given)
        assert code == 2
        assert "never changes" in err


def pidf(info: str) -> str:
    return (
        '<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" '
        'xmlns:gp="urn:ietf:params:xml:ns:pidf:geopriv10" xmlns:gml="http://www.opengis.net/gml" '
        'xmlns:gs="http://www.opengis.net/pidflo/1.0" entity="pres:a@example.com"><dm:device id="d"><gp:geopriv>'
        f"<gp:location-info>{info}</gp:location-info><gp:usage-rules/></gp:geopriv></dm:device></presence>"
    )


async def test_a_pidf_lo_document_is_answered_as_the_same_place_in_json(
    client: httpx.AsyncClient, tokens: Tokens
) -> None:
    circle = "<gs:Circle><gml:pos>52.0482 -0.0243</gml:pos><gs:radius>3000</gs:radius></gs:Circle>"
    same = {"shape": {"kind": "circle", "lat": 52.0482, "lon": -0.0243, "radiusM": 3000}}
    headers = {"Content-Type": "application/pidf+xml; charset=utf-8"}
    answer = await client.post("/v1/locate", content=pidf(circle), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json() == (await client.post("/v1/locate", json=same)).json()
    assert len(answer.json()["candidates"]) >= 2

    async def problem(status: int, content: str, **other: str) -> str:
        refusal = await client.post("/v1/locate", content=content, headers={**headers, **other})
        assert refusal.status_code == status, refusal.text
        assert refusal.headers["content-type"] == "application/problem+json"
        return str(refusal.json()["detail"])

    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    assert "document type declaration" in await problem(400, laughs)
    assert "XML" in await problem(400, "{}")
    assert "location-info" in await problem(422, pidf(""))
    assert "latitude" in await problem(422, pidf(circle.replace("52.0482", "152")))
    assert "application/pidf+xml" in await problem(415, pidf(circle), **{"Content-Type": "application/xml"})
    await problem(413, pidf("x" * 300_000))
    await problem(401, "<", Authorization="")
    await problem(403, pidf(circle), **bearer(tokens.of("partner")))
    document = (await client.get("/openapi.json")).json()
    taken = document["paths"]["/v1/locate"]["post"]["requestBody"]["content"]
    assert set(taken) == {"application/json", "application/pidf+xml"}


async def test_an_unknown_force_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await refused(client, "/v1/forces/ruritania"))["status"] == 404
    assert await get(client, "/v1/queues", force="ruritania") == []
    assert (await refused(client, "/v1/queues", force="Ruritania!"))["status"] == 422
