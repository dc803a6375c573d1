"""`python -m libs.events.schemas` writes the schemas and the services' AsyncAPI documents.

`… check [--base REV]` fails where they are stale, or where a schema breaks what is stored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from libs.events.schemas.compatible import sets_break
from libs.events.schemas.documents import all_documents
from libs.events.schemas.make import all_schemas, text_of

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]


DOCUMENTS = "asyncapi"
"""The folder of the services' documents."""


def wanted() -> dict[str, str]:
    """Every file by its name below the folder: a schema a type, a document a service."""
    files = {f"{kind}.json": text_of(schema) for kind, schema in all_schemas().items()}
    return files | {f"{DOCUMENTS}/{name}.json": text_of(document) for name, document in all_documents().items()}


def _there(folder: Path) -> dict[str, str]:
    paths = [*folder.glob("*.json"), *folder.glob(f"{DOCUMENTS}/*.json")]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}


def write(folder: Path = HERE) -> list[str]:
    """Write every file, remove those of what is gone; the names of the files that changed."""
    new, old = wanted(), _there(folder)
    changed = []
    for name in old.keys() - new.keys():
        (folder / name).unlink()
        changed.append(name)
    (folder / DOCUMENTS).mkdir(exist_ok=True)
    for name, text in new.items():
        if old.get(name) != text:
            (folder / name).write_text(text, "utf-8")
            changed.append(name)
    return sorted(changed)


def stale(folder: Path = HERE) -> list[str]:
    """What of the files in `folder` is not as the types are."""
    new, old = wanted(), _there(folder)
    found = [f"{name} is missing" for name in sorted(new.keys() - old.keys())]
    found += [f"{name} is of no type we have" for name in sorted(old.keys() - new.keys())]
    found += [f"{name} is not as its type is" for name in sorted(new) if name in old and old[name] != new[name]]
    return found


def committed(revision: str) -> dict[str, Any]:
    """The schemas as they were at a revision, by type; empty where there were none."""
    folder = HERE.relative_to(REPOSITORY).as_posix() + "/"
    names = _git("ls-tree", "--name-only", revision, folder).split()
    return {
        Path(name).name.removesuffix(".json"): json.loads(_git("show", f"{revision}:{name}"))
        for name in names
        if name.endswith(".json")
    }


def bases() -> list[str]:
    """What a change is held against: the last commit, and where this branch left `main` (on `main`: the one before)."""
    if not _has("HEAD"):
        return []
    head = _git("rev-parse", "HEAD").strip()
    for main in ("origin/main", "main"):
        if _has(main) and (left := _git("merge-base", "HEAD", main).strip()) != head:
            return [left, head]
    return ["HEAD^", head] if _has("HEAD^") else [head]


def _has(revision: str) -> bool:
    return not _run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").returncode


def _git(*arguments: str) -> str:
    done = _run(*arguments)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # a revision is an argument, never a shell's word
        ["git", *arguments],  # noqa: S607  # the developer's own
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


def check(base: str | None) -> list[str]:
    """Everything that is wrong, a sentence each."""
    wrong = [f"{sentence}: run `python -m libs.events.schemas`" for sentence in stale()]
    now = all_schemas()
    for revision in [base] if base else bases():
        found = sets_break(committed(revision), now)
        wrong += [f"{sentence} (since {revision[:12]})" for sentence in found]
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m libs.events.schemas", description=__doc__)
    subcommands = parser.add_subparsers(dest="command")
    checks = subcommands.add_parser("check", help="fail where the files are stale, or a change breaks what is stored")
    checks.add_argument("--base", metavar="REV", help="the git revision that a change is held against")
    given = parser.parse_args(arguments)
    if given.command is None:
        for name in write():
            print(name)
        return 0
    wrong = check(given.base)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
