"""`python -m services.directory` serves; `python -m services.directory load <file|name>` loads an alliance."""

from __future__ import annotations

import argparse
import asyncio
import sys

from libs.events.log.database import Database
from libs.events.log.errors import Conflict, Unavailable
from libs.service.run import serve
from services.directory.alliance_file import AllianceFile, Unusable, find, read
from services.directory.app import make_app
from services.directory.areas import load_areas
from services.directory.forces import Contradiction
from services.directory.known import known_forces
from services.directory.load import load
from services.directory.settings import DirectorySettings, LoadSettings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.directory", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    loading = commands.add_parser(
        "load", help="bring an alliance file and the shipped areas into the database; again, it changes nothing"
    )
    loading.add_argument("alliance", help="a name from deploy/alliances, or the path of a TOML file")
    arguments = parser.parse_args()
    if arguments.command == "load":
        try:
            file = read(find(arguments.alliance))
            return asyncio.run(_load(file, LoadSettings.read()))
        except (Unusable, Contradiction) as error:
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
        loaded = await load(database, file, known_forces(), load_areas())
    finally:
        await database.close()
    for sentence in loaded.sentences():
        print(sentence)
    return 0


if __name__ == "__main__":
    sys.exit(main())
