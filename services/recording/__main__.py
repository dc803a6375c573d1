"""`python -m services.recording` serves; `python -m services.recording rebuild <read model>` rebuilds one beside it."""

from __future__ import annotations

import argparse
import asyncio
import sys

import asyncpg

from libs.service.run import serve
from services.recording.app import RecordingSettings, make_app
from services.recording.projections import PROJECTIONS
from services.recording.rebuild import NoAddress, owner_address, rebuild


def main() -> int:
    names = {projection.name: projection for projection in PROJECTIONS}
    parser = argparse.ArgumentParser(prog="python -m services.recording", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    rebuilding = commands.add_parser(
        "rebuild", help="rebuild a read model from the topics, as the tables' owner, while the service runs"
    )
    rebuilding.add_argument("name", choices=sorted(names))
    rebuilding.add_argument("--role", default="recording", help="the service's role in the database")
    rebuilding.add_argument("--resume", action="store_true", help="finish the generation that is building already")
    given = parser.parse_args()
    if given.command == "rebuild":
        try:
            generation = asyncio.run(
                rebuild(
                    names[given.name], owner_address(), role=given.role, resume=given.resume, progress=_show_progress
                )
            )
        except (NoAddress, LookupError) as error:
            print(error, file=sys.stderr)
            return 2
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            print(f"The database cannot be used: {str(error).partition(chr(10))[0]}", file=sys.stderr)
            return 1
        print(f"\n{given.name}: generation {generation} is shown", flush=True)
        return 0
    settings = RecordingSettings.read()
    serve(make_app(settings), settings)
    return 0


def _show_progress(behind: int) -> None:
    print(f"\r{behind:>12,} messages to read", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
