"""Real places to ring from, for any alliance: found in the shipped postcodes once, kept in a file for the next run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from deploy.local.layout import ROOT
from deploy.local.process import Trouble


class Place(NamedTuple):
    lat: float
    lon: float
    postcode: str
    next_force: str
    next_m: float
    """To the nearest postcode of `next_force`."""


class ForcePlaces(NamedTuple):
    inside: list[Place]
    near: list[Place]
    """Some hundred metres from a border: clear, if one looks closely."""
    border: list[Place]
    """Half way over a border: too close to say. Members of the alliance first."""


def places_of(forces: Sequence[str], var: Path) -> dict[str, ForcePlaces]:
    """Places of each force. The first time this takes some seconds; a process of its own gives its memory back."""
    kept = var / f"places-{sha256(' '.join(sorted(forces)).encode()).hexdigest()[:12]}.json"
    if not kept.exists():
        made = subprocess.run(
            [sys.executable, "-m", "deploy.local.find_places", str(kept), *forces],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise Trouble(f"No places were found in the shipped postcodes: {made.stderr.strip()[-500:]}")
    return {
        force: ForcePlaces(*([Place(*place) for place in places] for places in kinds))
        for force, kinds in json.loads(kept.read_text()).items()
    }
