"""Boundaries imported, activated and gone back to, over the directory's API and by its command; Kafka is away."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import sys
import time
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest
import pytest_asyncio
import shapely

from deploy.local.postgres import Postgres
from libs.events.log.database import Database
from libs.events.log.store import load as load_stream
from libs.events.log.store import read_after
from libs.events.types.directory import BoundariesActivated, BoundariesImported, EntityWithdrawn, GapOverlapFound
from libs.places.grid import to_wgs84_many
from services.directory.alliance_file import SHIPPED, read
from services.directory.app import make_app
from services.directory.areas import Areas
from services.directory.known import known_forces
from services.directory.load import load
from services.directory.settings import DirectorySettings
from tests.conftest import NewDatabase
from tests.integration.intake import Tokens, an_issuer, bearer
from tests.integration.logs import until
from tests.integration.test_directory_api import NOBODY, command
from tests.unit.libs.alliance.areas import square

THREE = read(SHIPPED / "bedfordshire-cambridgeshire-hertfordshire.toml")
MEMBERS = ("bedfordshire", "cambridgeshire", "hertfordshire")
SQUARES = {force: square(column) for column, force in enumerate(MEMBERS)}
FIRST = Areas("squares-1", "squares of our own", 20.0, SQUARES)


def geojson(areas: Mapping[str, shapely.Geometry]) -> bytes:
    """As ONS publishes it: WGS 84, the force by its name."""

    def in_degrees(area: shapely.Geometry) -> Any:
        fine = shapely.segmentize(area, 500.0)
        return json.loads(shapely.to_geojson(shapely.transform(fine, lambda one: to_wgs84_many(one)[:, ::-1])))

    features = [
        {"type": "Feature", "properties": {"PFA24NM": force.title()}, "geometry": in_degrees(area)}
        for force, area in areas.items()
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def moved(east_m: float) -> dict[str, shapely.Geometry]:
    """The border between the first two moved eastwards."""
    border = 510_000 + east_m
    return SQUARES | {
        "bedfordshire": shapely.box(500_000, 250_000, border, 260_000),
        "cambridgeshire": shapely.box(border, 250_000, 520_000, 260_000),
    }


def holed() -> dict[str, shapely.Geometry]:
    """A square kilometre that nobody has, between two."""
    hole = shapely.box(509_500, 254_000, 510_500, 255_000)
    return {force: shapely.difference(area, hole) for force, area in SQUARES.items()}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    with an_issuer(tmp_path_factory.mktemp("issuer")) as issued:
        yield issued


class Directory:
    """A copy of the directory, and an alliance administrator's client of it."""

    def __init__(self, url: str, client: httpx.AsyncClient, app: Any) -> None:
        self.url, self.client, self.app = url, client, app

    async def put(self, name: str, content: bytes, **query: Any) -> httpx.Response:
        query = {"generation": name, "source": "drawn by the test", "accuracyMetres": 20} | query
        return await self.client.put("/v1/boundaries", params=query, content=content)

    async def activate(self, generation: str, **body: Any) -> httpx.Response:
        return await self.client.post(f"/v1/boundaries/{generation}/activate", json=body)

    async def get(self, path: str, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def owner(self, easting: float, **query: Any) -> tuple[str | None, str]:
        """Whose a place on the squares' middle line is, and by which generation."""
        [[lat, lon]] = to_wgs84_many(shapely.get_coordinates(shapely.Point(easting, 255_900))).tolist()
        found = await self.get("/v1/locate", lat=lat, lon=lon, **query)
        return found["owningForce"], found["generation"]

    async def until_used(self, generation: str) -> None:
        async def is_used() -> bool:
            return bool((await self.get("/v1/alliance"))["generation"] == generation)

        await until(is_used, patience_s=10)


@asynccontextmanager
async def a_directory(url: str, tokens: Tokens) -> AsyncIterator[Directory]:
    app = make_app(DirectorySettings(database_url=url, kafka_bootstrap_servers=NOBODY, oidc_issuer=tokens.issuer_url))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
            base_url="http://directory",
            headers=administrator(tokens),
            timeout=60,
        ) as client,
    ):
        opened = Directory(url, client, app)
        await until(lambda: _is_ready(client), patience_s=20)
        yield opened


def administrator(tokens: Tokens, *, alliance: bool = True) -> dict[str, str]:
    return bearer(tokens.of("administrator", subject="test-administrator", alliance=alliance))


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


@pytest_asyncio.fixture
async def store(database: NewDatabase) -> AsyncIterator[Database]:
    """A directory's store with the three forces, each with a square."""
    opened = await Database.connect((await database("directory")).url, source="/directory")
    await load(opened, THREE, known_forces(), FIRST)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def directory(store: Database, tokens: Tokens) -> AsyncIterator[Directory]:
    async with a_directory(store.dsn, tokens) as opened:
        yield opened


async def facts(store: Database, kind: type) -> list[Any]:
    return [one.fact for _, one in await read_after(store, 0, 10_000) if isinstance(one.fact, kind)]


async def test_a_file_is_imported_shown_activated_and_gone_back_from(store: Database, directory: Directory) -> None:
    began = datetime.now(UTC)
    answer = await directory.put("squares-2", geojson(moved(80)))
    assert answer.status_code == 201, answer.text
    document = answer.json()
    assert document["state"] == "imported"
    assert document["blocking"] == []
    assert document["report"]["comparedWith"] == "squares-1"
    assert {one["force"] for one in document["report"]["moved"]} >= {"bedfordshire", "cambridgeshire"}
    assert await directory.owner(510_040) == ("cambridgeshire", "squares-1"), "what is imported rules nothing"

    again = await directory.put("squares-2", geojson(moved(80)))
    assert (again.status_code, again.json()) == (200, document)
    assert len(await facts(store, BoundariesImported)) == 1

    picture = await directory.client.get(document["picture"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")
    assert picture.content.startswith(b"\x89PNG")

    activated = await directory.activate("squares-2", reason="the order of 2026")
    assert activated.status_code == 200, activated.text
    assert activated.json()["state"] == "in-force"
    await directory.until_used("squares-2")
    assert await directory.owner(510_040) == ("bedfordshire", "squares-2")
    assert await directory.owner(510_040, at=began.isoformat()) == ("cambridgeshire", "squares-1")
    [_, said] = await facts(store, BoundariesActivated)
    assert (said.by, said.reason, said.overridden) == ("test-administrator", "the order of 2026", ())

    back = await directory.activate("squares-1")
    assert back.status_code == 200, back.text
    await directory.until_used("squares-1")
    assert await directory.owner(510_040) == ("cambridgeshire", "squares-1")
    listed = await directory.get("/v1/boundaries/generations")
    assert [(one["generation"], one["state"], len(one["inForce"])) for one in listed] == [
        ("squares-1", "in-force", 2),
        ("squares-2", "past", 1),
    ]
    [span] = listed[1]["inForce"]
    assert await directory.owner(510_040, at=span["since"]) == ("bedfordshire", "squares-2")
    assert await directory.owner(510_040, at=span["until"]) == ("cambridgeshire", "squares-1")


async def test_what_the_report_forbids_is_activated_with_a_reason_alone_and_its_gaps_are_told_until_they_are_gone(
    store: Database, directory: Directory
) -> None:
    assert (await directory.put("holed", geojson(holed()))).status_code == 201
    refused = await directory.activate("holed")
    assert refused.status_code == 409
    assert refused.json()["blocking"] == (await directory.get("/v1/boundaries/holed"))["blocking"] != []
    assert (await directory.activate("holed", override=True)).status_code == 422
    assert await directory.owner(501_000) == ("bedfordshire", "squares-1")

    taken = await directory.activate("holed", override=True, reason="the lake is nobody's")
    assert taken.status_code == 200, taken.text
    [_, said] = await facts(store, BoundariesActivated)
    assert list(said.overridden) == refused.json()["blocking"]
    [gap] = await facts(store, GapOverlapFound)
    assert gap.gap
    assert gap.agencies == ("bedfordshire.queues.bch.example", "cambridgeshire.queues.bch.example")
    assert gap.area_m2 == pytest.approx(1_000_000, rel=1e-3)
    assert gap.generation == "holed"
    assert len(gap.area.exterior) >= 4

    assert (await directory.activate("squares-1")).status_code == 200
    [withdrawn] = await facts(store, EntityWithdrawn)
    assert withdrawn.entity == f"gap-overlap/{gap.id}"
    # It was answered for: it may be gone back to without another reason, and its gap is told again.
    assert (await directory.activate("holed")).status_code == 200
    assert [one.id for one in await facts(store, GapOverlapFound)] == [gap.id, gap.id]
    history = await load_stream(store, f"gap-overlap/{gap.id}")
    assert [type(event.fact) for event in history] == [GapOverlapFound, EntityWithdrawn, GapOverlapFound]


async def test_a_name_stands_for_one_drawing_once_it_has_been_in_force(store: Database, directory: Directory) -> None:
    assert (await directory.put("drawn", geojson(moved(60)))).status_code == 201
    assert (await directory.put("drawn", geojson(moved(80)))).status_code == 201, "it was imported, and no more"
    assert (await directory.activate("drawn")).status_code == 200
    other = await directory.put("drawn", geojson(moved(60)))
    assert other.status_code == 409
    assert "a generation never changes" in other.json()["detail"]
    assert (await directory.put("squares-1", geojson(moved(60)))).status_code == 409
    await directory.until_used("drawn")
    assert await directory.owner(510_070) == ("bedfordshire", "drawn")


async def test_a_report_that_compares_with_boundaries_of_the_past_is_made_anew_before_activation(
    store: Database, directory: Directory
) -> None:
    """Each alone is a small step from what is in force; one after the other comes to more than is expected."""
    assert (await directory.put("east", geojson(moved(80)))).status_code == 201
    assert (await directory.put("west", geojson(moved(-80)))).status_code == 201
    assert (await directory.activate("east")).status_code == 200
    refused = await directory.activate("west")
    assert refused.status_code == 409, refused.text
    assert (await directory.get("/v1/boundaries/west"))["report"]["comparedWith"] == "east"


async def test_activated_twice_at_once_it_is_said_once(store: Database, tokens: Tokens, directory: Directory) -> None:
    assert (await directory.put("squares-2", geojson(moved(80)))).status_code == 201
    async with a_directory(store.dsn, tokens) as other:
        answers = await asyncio.gather(*(copy.activate("squares-2") for copy in (directory, other) * 3))
        assert {answer.status_code for answer in answers} == {200}
        assert len(await facts(store, BoundariesActivated)) == 2
        await other.until_used("squares-2")


async def test_of_two_imports_at_once_a_copy_does_one_and_two_copies_say_each_piece_once(
    store: Database, tokens: Tokens, directory: Directory
) -> None:
    async with a_directory(store.dsn, tokens) as other:
        content = geojson(moved(80))
        answers = await asyncio.gather(*(copy.put("squares-2", content) for copy in (directory, directory, other)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert sorted(answer.status_code for answer in answers) in ([200, 201, 503], [200, 503, 201], [201, 201, 503])
    assert refused[0].headers["retry-after"] == "5"
    subjects = [event.subject for _, event in await read_after(store, 0, 10_000) if event.subject.startswith("area/")]
    assert len(subjects) == len(set(subjects)) == 6
    assert len(await facts(store, BoundariesImported)) == 1


async def test_an_import_that_is_killed_before_its_end_leaves_what_is_in_force_and_is_done_again(
    store: Database, directory: Directory, postgres: Postgres, tmp_path: Path
) -> None:
    file = tmp_path / "file.geojson"
    file.write_bytes(geojson(moved(80)))
    arguments = ("import", str(file), "--generation", "killed", "--source", "test", "--accuracy", "20", "--activate")
    admin = await asyncpg.connect(f"{postgres.admin_url.rpartition('/')[0]}/{store.dsn.rpartition('/')[2]}")
    pieces = "SELECT count(*) FROM event WHERE subject LIKE 'area/%'"
    try:
        async with admin.transaction():
            # Its import waits for this row; its pieces do not.
            await admin.execute("SELECT FROM stream WHERE subject = 'boundaries/all' FOR UPDATE")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.directory", *arguments),
                env={"PATH": os.environ["PATH"], "DATABASE_URL": store.dsn},
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(60):
                while await store.fetchval(pieces) < 6:
                    await asyncio.sleep(0.02)
            process.kill()
            await process.wait()
    finally:
        await admin.close()
    assert await facts(store, BoundariesImported) == []
    assert await directory.owner(510_040) == ("cambridgeshire", "squares-1")
    code, out, err = await command(store.dsn, *arguments)
    assert (code, err) == (0, ""), err
    assert "Boundaries killed are in force." in out
    await directory.until_used("killed")
    assert await store.fetchval(pieces) == 6, "its pieces were there"


async def test_the_command_imports_refuses_and_overrides_in_sentences(store: Database, tmp_path: Path) -> None:
    file, png = tmp_path / "file.geojson", tmp_path / "out.png"
    file.write_bytes(geojson(holed()))
    named = ("import", str(file), "--generation", "holed", "--source", "test", "--accuracy", "20")
    code, out, err = await command(store.dsn, *named, "--picture", str(png))
    assert (code, err) == (0, "")
    assert out.startswith("Boundaries holed are imported: GeoJSON, EPSG:4326.\nThey were compared with squares-1.\n")
    assert out.endswith("This forbids their activation, unless it is overridden with a reason.\n")
    assert png.read_bytes().startswith(b"\x89PNG")
    code, _, err = await command(store.dsn, *named, "--activate")
    assert code == 2
    assert err.startswith("The report on holed forbids its activation: ")
    code, out, _ = await command(store.dsn, *named, "--override", "the lake is nobody's")
    assert code == 0
    assert "Boundaries holed are in force.\n" in out
    file.write_bytes(b"neither this nor that")
    code, out, err = await command(store.dsn, *named)
    assert (code, out, err.count("\n")) == (2, "", 1)


async def test_loading_an_alliance_again_never_replaces_what_was_imported(
    store: Database, directory: Directory
) -> None:
    assert (await directory.put("imported", geojson(moved(80)))).status_code == 201
    later = Areas("squares-3", FIRST.attribution, 20.0, moved(40))
    # Shipped follows shipped, and never backwards.
    assert (await load(store, THREE, known_forces(), later)).activated == "squares-3"
    again = await load(store, THREE, known_forces(), FIRST)
    assert again.activated is None
    assert "squares-3 stay in force" in list(again.sentences())[-1]
    assert (await directory.activate("imported")).status_code == 200
    for shipped in (FIRST, later, Areas("squares-4", FIRST.attribution, 20.0, moved(20))):
        loaded = await load(store, THREE, known_forces(), shipped)
        assert loaded.activated is None
        assert "imported, which were imported, stay in force" in list(loaded.sentences())[-1]
    await directory.until_used("imported")


async def test_who_has_not_the_whole_alliance_changes_no_boundaries(tokens: Tokens, directory: Directory) -> None:
    directory.client.headers.update(administrator(tokens, alliance=False))
    assert (await directory.put("mine", geojson(moved(80)))).status_code == 403
    assert (await directory.activate("squares-1")).status_code == 403
    directory.client.headers.update(tokens.handler("bedfordshire", alliance=True))
    assert (await directory.put("mine", geojson(moved(80)))).status_code == 403
    assert (await directory.activate("squares-1")).status_code == 403
    assert [one["generation"] for one in await directory.get("/v1/boundaries/generations")] == ["squares-1"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"accuracyMetres": "nan"}, 422),
        ({"accuracyMetres": 0}, 422),
        ({"generation": "generations"}, 422),
        ({"generation": "a/b"}, 422),
        ({"source": ""}, 422),
        ({"sauce": "mint"}, 422),
    ],
)
async def test_a_wrong_parameter_of_an_import_is_named(
    directory: Directory, query: dict[str, Any], status: int
) -> None:
    answer = await directory.put("other", geojson(moved(80)), **query)
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["parameter"] in query


async def test_what_is_no_file_of_boundaries_is_refused_with_the_reason(directory: Directory) -> None:
    for content in (b"", b"{}", b"neither this nor that", geojson({"atlantis": square(0)})):
        answer = await directory.put("other", content)
        assert answer.status_code == 422, answer.text
        assert len(answer.json()["detail"]) > 20
    too_large = await directory.client.put(
        "/v1/boundaries",
        params={"generation": "other", "source": "x", "accuracyMetres": 20},
        headers={"Content-Length": str(2**30)},
        content=b"x",
    )
    assert (too_large.status_code, too_large.headers["connection"]) == (413, "close")
    assert (await directory.activate("other")).status_code == 404
    assert (await directory.client.get("/v1/boundaries/other")).status_code == 404
    assert (await directory.client.get("/v1/boundaries/other/picture")).status_code == 404


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("2020-01-01", 404),
        ("2020-06-01T00:00:00+01:00", 404),
        ("2999-01-01", 422),
        ("9999-12-31T23:59:59-23:59", 422),
        ("yesterday", 422),
        ("2026-02-30", 422),
        ("2026-03-01T10:00:00", 422),
        ("1", 422),
    ],
)
async def test_a_moment_without_boundaries_or_without_meaning_is_refused(
    directory: Directory, at: str, status: int
) -> None:
    place = {"lat": 52.2, "lon": 0.12}
    for answer in (
        await directory.client.get("/v1/locate", params=place | {"at": at}),
        await directory.client.post("/v1/locate", json={"shape": {"kind": "point", **place}, "at": at}),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def random_files(count: int, seed: int = 27700) -> Iterator[bytes]:
    """Real ones of each form that were damaged, and bytes of no form at all."""
    rng = random.Random(seed)
    whole = geojson(moved(80))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", b"<kml xmlns='http://www.opengis.net/kml/2.2'><Document/></kml>")
        archive.writestr("zeros.shp", b"\0" * 50_000_000)
    million = json.dumps({"type": "Polygon", "coordinates": [[[0.1, 52.0 + at * 1e-9] for at in range(1_000_002)]]})
    begun = b'{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"PFA24NM": "Kent"}, '
    begun += b'"geometry": '
    harmful = [
        packed.getvalue(),
        begun + million.encode() + b"}]}",
        begun + b'{"type": "Polygon", "coordinates": [[[NaN, 52], [0, 53], [1e400, 52]]]}}]}',
        b"[" * 100_000,
        b"<!DOCTYPE a [<!ENTITY b '" + b"c" * 1000 + b"'>]><kml>" + b"&b;" * 1000 + b"</kml>",
        b"SQLite format 3\0" + rng.randbytes(8_000),
        whole.replace(b"0.", b"-0."),
    ]
    for number in range(count):
        if number < len(harmful):
            yield harmful[number]
            continue
        base = bytearray(rng.choice([whole, *harmful[4:], packed.getvalue()]))
        for _ in range(rng.randint(1, 30)):
            at = rng.randrange(len(base))
            match rng.randrange(4):
                case 0:
                    base[at] = rng.randrange(256)
                case 1:
                    del base[at : at + rng.randint(1, 200)]
                case 2:
                    base[at:at] = rng.randbytes(rng.randint(1, 20))
                case _:
                    base[at : at + 3] = rng.choice([b"NaN", b"1e9", b"[[[", b"-0.", b"]]]", b'"",'])
            base = base or bytearray(b"x")
        yield rng.randbytes(rng.randrange(2_000)) if rng.randrange(10) == 0 else bytes(base)


@pytest.mark.parametrize("count", [25, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(7200)])])
async def test_random_and_mutated_files_are_taken_or_refused(
    directory: Directory, count: int, figures: Callable[[str], None]
) -> None:
    met: Counter[int] = Counter()
    slowest, before = 0.0, 0
    for number, content in enumerate(random_files(count)):
        if number == 10:
            before = psutil.Process().memory_info().rss
        began = time.monotonic()
        answer = await directory.put("random", content)
        slowest = max(slowest, time.monotonic() - began)
        met[answer.status_code] += 1
        assert answer.status_code in (200, 201, 422), (content[:200], answer.text)
        if answer.status_code == 422:
            assert len(answer.json()["detail"]) > 20
    grown = psutil.Process().memory_info().rss - before
    figures(f"import: {count} files, slowest {slowest:.1f} s, memory {grown / 2**20:+.0f} MiB, {dict(met)}")
    assert slowest < 60
    assert grown < 100 * 2**20
