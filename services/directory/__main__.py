"""`python -m services.directory` serves; `load <file|name>` after it loads an alliance, `neighbourhoods <file>` the
areas inside its forces, `overlay <file>` places that suggest a force."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import get_args

from libs.events.log.database import Database
from libs.events.log.errors import Conflict, Unavailable
from libs.events.types.directory import OverlayKind
from libs.service.run import serve
from services.directory.alliance_file import AllianceFile, Unusable, find, read
from services.directory.app import make_app
from services.directory.areas import load_areas
from services.directory.boundaries import GenerationChanged
from services.directory.forces import Contradiction
from services.directory.known import known_forces, known_holidays
from services.directory.load import load
from services.directory.neighbourhoods import load_neighbourhoods, read_file
from services.directory.overlays import Layer, load_overlays, shipped
from services.directory.overlays import read_file as read_file_of_overlay
from services.directory.settings import DirectorySettings, LoadSettings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.directory", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    loading = commands.add_parser(
        "load", help="bring an alliance file and the shipped areas into the database; again, it changes nothing"
    )
    loading.add_argument("alliance", help="a name from deploy/alliances, or the path of a TOML file")
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
            if arguments.command == "overlay":
                return asyncio.run(_load_overlay(arguments, LoadSettings.read()))
            return asyncio.run(_load_neighbourhoods(arguments, LoadSettings.read()))
        except (Unusable, Contradiction, GenerationChanged) as error:
            print(error, file=sys.stderr)
            return 2
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
