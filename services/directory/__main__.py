"""`python -m services.directory` serves; `load <file|name>` after it loads an alliance, `import <file>` its boundaries,
`neighbourhoods <file>` the areas inside its forces, `overlay <file>` places that suggest a force."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from pathlib import Path
from typing import get_args

from libs.events.log.database import Database
from libs.events.log.errors import Conflict, Unavailable
from libs.events.types.directory import OverlayKind
from libs.service.run import serve
from services.directory.alliance_file import AllianceFile, Unusable, find, read
from services.directory.apart import Busy, Failed
from services.directory.app import make_app
from services.directory.areas import load_areas
from services.directory.boundaries import GENERATION_NAME, Blocked, GenerationChanged, Who
from services.directory.forces import Contradiction
from services.directory.importing import File, Store, activate, import_file, picture
from services.directory.known import known_forces, known_holidays
from services.directory.load import load
from services.directory.neighbourhoods import load_neighbourhoods, read_file
from services.directory.overlays import Layer, load_overlays, shipped
from services.directory.overlays import read_file as read_file_of_overlay
from services.directory.settings import DirectorySettings, LoadSettings
from services.directory.stored import Stored


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.directory", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    loading = commands.add_parser(
        "load", help="bring an alliance file and the shipped areas into the database; again, it changes nothing"
    )
    loading.add_argument("alliance", help="a name from deploy/alliances, or the path of a TOML file")
    importing = commands.add_parser(
        "import",
        help="read boundaries from a file, check and keep them under a name; with --activate, put them in force",
    )
    importing.add_argument("file", type=Path, help="GeoJSON, KML, GeoPackage or a zipped Shapefile")
    importing.add_argument("--generation", required=True, type=_name, help="their name for ever: pfa-2024-bgc")
    importing.add_argument("--source", required=True, help="whose they are, as their licence asks it to be said")
    importing.add_argument(
        "--accuracy", required=True, type=_metres, help="how far from a drawn border the truth may lie, metres"
    )
    importing.add_argument("--activate", action="store_true", help="put them in force, unless the report forbids it")
    importing.add_argument("--override", metavar="REASON", help="activate them though the report forbids it")
    importing.add_argument("--picture", type=Path, help="where to write a map of what they change (PNG)")
    inside = commands.add_parser(
        "neighbourhoods", help="bring a GeoJSON file of areas inside the forces into the database, for answers alone"
    )
    inside.add_argument("file", type=Path)
    inside.add_argument("--generation", required=True, help="their name for ever: wards-2020")
    inside.add_argument("--source", required=True, help="whose they are, as their licence asks it to be said")
    inside.add_argument("--id", required=True, help="the property that identifies one: WD20CD")
    inside.add_argument("--name", required=True, help="the property that names it: WD20NM")
    inside.add_argument("--force", action="append", default=[], help="only this force's (may be said again)")
    over = commands.add_parser(
        "overlay", help="bring a GeoJSON file of places that suggest a force, and decide nothing, into the database"
    )
    over.add_argument("file", type=Path)
    over.add_argument("--overlay", required=True, help="its id: stations")
    over.add_argument("--title", required=True, help="what people call it: Railway stations")
    over.add_argument("--kind", required=True, choices=get_args(OverlayKind))
    over.add_argument("--within", type=float, default=100.0, help="how far from a place it suggests, metres")
    over.add_argument("--generation", required=True, help="its name for ever: naptan-2026-11")
    over.add_argument("--source", required=True, help="whose it is, as its licence asks it to be said")
    over.add_argument("--id", required=True, help="the property that identifies a place")
    over.add_argument("--name", required=True, help="the property that names it")
    over.add_argument("--force", help="whom it suggests: british-transport; without it, whose place it is")
    arguments = parser.parse_args()
    if arguments.command is not None:
        try:
            if arguments.command == "load":
                return asyncio.run(_load(read(find(arguments.alliance)), LoadSettings.read()))
            if arguments.command == "import":
                return asyncio.run(_import(arguments, LoadSettings.read()))
            if arguments.command == "overlay":
                return asyncio.run(_load_overlay(arguments, LoadSettings.read()))
            return asyncio.run(_load_neighbourhoods(arguments, LoadSettings.read()))
        except (Unusable, Contradiction, GenerationChanged, Blocked) as error:
            print(error, file=sys.stderr)
            return 2
        except (Failed, Busy):
            print("The file could not be worked on: the mistake is ours, and was written down above.", file=sys.stderr)
            return 1
        except Unavailable as error:
            print(f"The directory's database cannot be reached ({error}): see DATABASE_URL.", file=sys.stderr)
            return 1
        except Conflict:
            print("Somebody else is changing the directory at this moment: load it again.", file=sys.stderr)
            return 1
    settings = DirectorySettings.read()
    serve(make_app(settings), settings)
    return 0


async def _load(file: AllianceFile, settings: LoadSettings) -> int:
    database = await Database.connect(settings.database_url, source=settings.source, max_size=2)
    try:
        loaded = await load(database, file, known_forces(), load_areas(), known_holidays())
        overlaid = await load_overlays(database, shipped())
    finally:
        await database.close()
    for sentence in (*loaded.sentences(), *overlaid):
        print(sentence)
    return 0


async def _load_overlay(arguments: argparse.Namespace, settings: LoadSettings) -> int:
    layer = Layer(
        id=arguments.overlay,
        name=arguments.title,
        kind=arguments.kind,
        generation=arguments.generation,
        source=arguments.source,
        within_m=arguments.within,
        features=read_file_of_overlay(arguments.file, arguments.id, arguments.name, arguments.force),
    )
    database = await Database.connect(settings.database_url, source=settings.source, max_size=2)
    try:
        for sentence in await load_overlays(database, [layer]) or [f"{layer.name}: nothing changed."]:
            print(sentence)
    finally:
        await database.close()
    return 0


def _name(text: str) -> str:
    if not re.fullmatch(GENERATION_NAME, text):
        raise argparse.ArgumentTypeError("a name has up to 64 letters, digits, dots, dashes and underscores")
    return text


def _metres(text: str) -> float:
    if not 0.1 <= (metres := float(text)) <= 5_000:
        raise argparse.ArgumentTypeError("it must be between 0.1 and 5000 metres")
    return metres


async def _import(arguments: argparse.Namespace, settings: LoadSettings) -> int:
    if not arguments.file.is_file():
        raise Unusable(f"There is no file {arguments.file}.")
    database = await Database.connect(settings.database_url, source=settings.source, max_size=2)
    store = Store.of(database, Stored())
    name = arguments.generation
    try:
        new = await import_file(store, File(str(arguments.file), name, arguments.source, arguments.accuracy), Who())
        report = store.stored.history.imported[name].fact.report
        against = report.compared_with
        print(f"Boundaries {name} {'are imported' if new else 'were there already'}: {report.format}, {report.crs}.")
        print("Nothing was in force." if against is None else f"They were compared with {against}.")
        for sentence in (*report.blocking, *report.notes):
            print(sentence)
        if arguments.picture is not None:
            arguments.picture.write_bytes(await picture(store, name))
        if arguments.activate or arguments.override:
            override = arguments.override is not None
            said = await activate(store, name, Who(), arguments.override, override=override)
            print(f"Boundaries {name} are in force{'' if said else ' already'}.")
        elif report.blocking:
            print("This forbids their activation, unless it is overridden with a reason.")
    finally:
        await database.close()
    return 0


async def _load_neighbourhoods(arguments: argparse.Namespace, settings: LoadSettings) -> int:
    areas = read_file(arguments.file, arguments.id, arguments.name)
    database = await Database.connect(settings.database_url, source=settings.source, max_size=2)
    try:
        loaded = await load_neighbourhoods(database, areas, arguments.generation, arguments.source, arguments.force)
    finally:
        await database.close()
    for force, count in loaded.items():
        print(f"{force}: {count} neighbourhoods of {arguments.generation}.")
    left_out = len(areas) - sum(loaded.values())
    if left_out:
        print(f"{left_out} of the file's areas lie in none of the forces that were asked for.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
