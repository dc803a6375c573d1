"""Makes `.venv` from `uv.lock`, with nothing but Python 3.11 and the network. Run by `make`, before anything of ours.

    python3 deploy/local/bootstrap.py [--group bench]

uv does the work; where it is absent it is pip-installed into a folder of our own. Imports the standard library alone,
and keeps to what Python 3.7 can read, so that an old Python can say what is wrong.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
TOOLS = ROOT / "build" / "tools"
STAMP = VENV / ".made-from"
UV = "uv==0.13.9"
ROOM_BYTES = 1536 * 1024 * 1024
OLDEST = (3, 11)


class Trouble(Exception):
    """One sentence for the person at the terminal."""


def main() -> None:
    groups = [sys.argv[at + 1] for at, word in enumerate(sys.argv[:-1]) if word == "--group"]
    check_python(sys.version_info[:2])
    made_from = fingerprint(groups)
    if STAMP.exists() and STAMP.read_text() == made_from:
        return
    if shutil.disk_usage(ROOT).free < ROOM_BYTES:
        raise Trouble(f"There is less than 1.5 GB free where {ROOT} is, which the packages need: make room there.")
    print("Making .venv from uv.lock …", file=sys.stderr)
    command = [uv(), "sync", "--frozen", "--inexact", "--python", sys.executable, "--project", str(ROOT)]
    for group in groups:
        command += ["--group", group]
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME")}
    if subprocess.call(command, env={**kept, "UV_PROJECT_ENVIRONMENT": str(VENV)}) != 0:
        raise Trouble(
            "The packages of uv.lock could not be installed; uv says why above. Without network, connect this machine "
            "once and run again: what has been fetched is kept."
        )
    STAMP.write_text(made_from)


def check_python(version: tuple[int, ...]) -> None:
    """Raises Trouble for a Python that is too old."""
    if version < OLDEST:
        raise Trouble(
            f"Python 3.11 or newer is needed and this is {version[0]}.{version[1]}: install one and name it, "
            "as `make run PYTHON=python3.12`."
        )


def fingerprint(groups: list[str]) -> str:
    """What a finished `.venv` was made from."""
    content = (ROOT / "uv.lock").read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    python = ".".join(str(number) for number in sys.version_info[:2])
    return " ".join([hashlib.sha256(content).hexdigest(), python, str(ROOT), *sorted(groups)])


def uv() -> str:
    """The uv of this machine, or our own. Raises Trouble."""
    found = shutil.which("uv")
    if found:
        return found
    own = TOOLS / "bin" / "uv"
    if not own.exists():
        print("Fetching uv …", file=sys.stderr)
        quietly = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        install = ["install", *quietly, "--target", str(TOOLS), UV]
        if subprocess.call([*pip(), *install]) != 0:
            shutil.rmtree(TOOLS, ignore_errors=True)
            raise Trouble(
                "uv could not be fetched from the Python Package Index; pip says why above. Connect this machine "
                "to the network, or put uv on the PATH, then run again."
            )
    return str(own)


def pip() -> list[str]:
    """A pip that can install into a folder. Raises Trouble where Python has neither pip nor the means to get it."""
    if _succeeds([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, "-m", "pip"]
    helper = ROOT / "build" / "pip"
    if not _succeeds([sys.executable, "-m", "venv", "--clear", str(helper)]):
        shutil.rmtree(helper, ignore_errors=True)
        raise Trouble(
            "This Python has neither pip nor ensurepip, as Debian's and Ubuntu's have not: run "
            "`apt install python3-venv` (or put uv on the PATH), then run again."
        )
    return [str(helper / "bin" / "python"), "-m", "pip"]


def _succeeds(command: list[str]) -> bool:
    return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(str(trouble))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        sys.exit(f"The operating system refused: {error.strerror} ({error.filename}).")
