"""Chromium for the tests of pages: the machine's own, or Debian's package where it may be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from deploy.local.process import Trouble

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
LIMIT_S = 600.0


@cache
def chromium() -> str:
    """Its command. Raises Trouble where there is none and none can be had."""
    if (found := _found()) is not None:
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", "chromium"]):
            try:
                subprocess.run(["apt-get", *command], env=quietly, capture_output=True, timeout=LIMIT_S, check=False)
            except subprocess.TimeoutExpired:
                break
        if (found := _found()) is not None:
            return found
    raise Trouble("Chromium is not on the PATH and could not be installed: `apt install chromium` brings it.")


def _found() -> str | None:
    return next((path for path in map(shutil.which, NAMES) if path), None)
