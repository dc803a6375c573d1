"""`make audit`: whether a published advisory speaks of what is locked in uv.lock and in the tests' package-lock.json.

Invariant: the end is 0 only where nothing was found; and of which packages the advisories could not be asked stands in
the output, so that silence is never taken for health. What is locked and known to be vulnerable ends it with 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.bootstrap import ROOT, uv
from deploy.local.node import node
from deploy.local.process import Trouble

NPM_LOCK = ROOT / "tests" / "integration" / "oidc"
LIMIT_S = 120.0


class Unreachable(Exception):
    """The advisories could not be asked; the message says why."""


class Told(NamedTuple):
    packages: int
    unasked: tuple[str, ...]
    """Of which the advisories' source knows nothing, not even that they exist."""
    found: tuple[str, ...]
    """A sentence for each vulnerability."""


def read_pip_audit(text: str) -> Told:
    """What pip-audit says in JSON. Raises Unreachable where that is nothing, or where it could ask of no package."""
    try:
        packages: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise Unreachable("pip-audit gives no answer") from None
    unasked = tuple(package["name"] for package in packages if "skip_reason" in package)
    if len(unasked) == len(packages):
        raise Unreachable("no package is known where pip-audit asks")
    found = tuple(
        f"{package['name']} {package['version']}: {one['id']}, mended in {', '.join(one['fix_versions']) or '?'}"
        for package in packages
        for one in package.get("vulns", ())
    )
    return Told(len(packages), unasked, found)


def read_npm_audit(text: str) -> Told:
    """What `npm audit --json` says. Raises Unreachable where it could not ask."""
    try:
        told: dict[str, Any] = json.loads(text)
        packages = told["metadata"]["dependencies"]["total"]
        found = tuple(f"{name}: {one['severity']}" for name, one in told["vulnerabilities"].items())
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreachable("npm's registry does not answer `npm audit`") from None
    return Told(packages, (), found)


def python_packages() -> Told:
    """Raises Unreachable."""
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "locked.txt"
        export = [uv(), "export", "--frozen", "--all-groups", "--no-emit-project", "--no-hashes", "--quiet"]
        subprocess.run([*export, "--project", str(ROOT), "--output-file", str(locked)], check=True, capture_output=True)
        whole = locked.read_text()
        first = next(line for line in whole.splitlines(keepends=True) if line[0].isalpha())
        for part in (first, whole):  # where one cannot be asked about, none is asked about one by one
            locked.write_text(part)
            ask = ["--requirement", str(locked), "--disable-pip", "--no-deps", "--format", "json"]
            told = read_pip_audit(_said([sys.executable, "-m", "pip_audit", *ask, "--progress-spinner", "off"], ROOT))
    return told


def node_packages() -> Told:
    """Raises Unreachable."""
    try:
        return read_npm_audit(_said([*node().npm, "audit", "--package-lock-only", "--json"], NPM_LOCK))
    except Trouble as trouble:
        raise Unreachable(str(trouble)) from None


ASKED: dict[str, Callable[[], Told]] = {
    "uv.lock": python_packages,
    str((NPM_LOCK / "package-lock.json").relative_to(ROOT)): node_packages,
}


def main() -> int:
    vulnerable = False
    for lock, ask in ASKED.items():
        try:
            told = ask()
        except Unreachable as unreachable:
            print(f"{lock}: NOT AUDITED, the advisories cannot be reached from here: {unreachable}.")
            continue
        vulnerable = vulnerable or bool(told.found)
        print(f"{lock}: {len(told.found) or 'no'} known vulnerabilities in {told.packages} packages.")
        for sentence in told.found:
            print(f"  {sentence}")
        if told.unasked:
            print(f"  NOT AUDITED, because nothing is known of them there: {', '.join(told.unasked)}.")
    return int(vulnerable)


def _said(command: list[str], folder: Path) -> str:
    """Raises Unreachable where it does not end in time. (Either ends with 1 where it has found something.)"""
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S).stdout
    except subprocess.TimeoutExpired:
        raise Unreachable(f"no answer within {LIMIT_S:.0f} s") from None


if __name__ == "__main__":
    sys.exit(main())
