"""The map in libs/service/__init__.py is true."""

import re
from pathlib import Path

import libs.service


def test_every_room_is_on_the_map_and_every_name_on_it_is_a_room() -> None:
    rows = re.findall(r"^ {4}([a-z]+(?:, [a-z]+)*) {2,}\S", libs.service.__doc__ or "", re.MULTILINE)
    named = [name for row in rows for name in row.split(", ")]
    rooms = {path.stem for path in Path(libs.service.__path__[0]).glob("*.py")} - {"__init__"}
    assert sorted(named) == sorted(rooms)
