"""Whatever bytes come: areas or a refusal, never anything else."""

from __future__ import annotations

import resource

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.directory.alliance_file import Unusable
from services.directory.imports.reading import read_boundaries
from services.directory.known import known_forces
from tests.unit.services.directory.imports import files

PARTS = files.shapefile_parts()
WHOLE = {name: make() for name, (make, _, _) in files.FILES.items()}
INSIDE = {f"shapefile {name}": content for name, content in PARTS.items()} | {"kmz inside": files.kml()}
"""What is in a zip file, which mutated bytes would otherwise never reach: the checksum is in the way."""
SPLICES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["flip", "cut", "insert", "repeat", "zeros", "ones"]),
        st.binary(min_size=1, max_size=12)
        | st.sampled_from([b"NaN", b"1e999", b"[", b"<", b"&a;", b"\xff\xff\xff\x7f", b"<!DOCTYPE a>", b",", b'"']),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, splices: list[tuple[float, str, bytes]]) -> bytes:
    for where, how, what in splices:
        at = int(where * len(content))
        end = at + len(what)
        middle = {
            "flip": bytes(one ^ other for one, other in zip(content[at:end], what, strict=False)),
            "cut": b"",
            "insert": what + content[at:end],
            "repeat": content[at:end] * 50,
            "zeros": b"\0" * len(what),
            "ones": b"\xff" * len(what),
        }[how]
        content = content[:at] + middle + content[end:]
    return content


def read(content: bytes) -> bool:
    """Whether there are areas; they are then as promised."""
    refusal = None
    try:
        drawn = read_boundaries(content, known_forces())
    except Unusable as error:
        refusal = str(error)
    if refusal is not None:
        assert 10 < len(refusal) < 1_000
        assert refusal.endswith(".")
        return False
    assert drawn.areas
    for area in drawn.areas.values():
        assert shapely.get_type_id(area) == 6
        assert shapely.is_valid(area)
        assert area.area > 0
    return True


def check(name: str, splices: list[tuple[float, str, bytes]]) -> None:
    if name in WHOLE:
        read(mutated(WHOLE[name], splices))
    elif name == "kmz inside":
        read(files.zipped({"doc.kml": mutated(INSIDE[name], splices)}))
    else:
        entry = name.removeprefix("shapefile ")
        read(files.zipped({**PARTS, entry: mutated(PARTS[entry], splices)}))


NAMES = st.sampled_from([*WHOLE, *INSIDE])
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


def test_unmutated_they_are_read() -> None:
    assert all(read(content) for content in WHOLE.values())


@settings(max_examples=200, deadline=None, suppress_health_check=QUIET)
@given(NAMES, SPLICES)
def test_mutated_files_are_read_or_refused(name: str, splices: list[tuple[float, str, bytes]]) -> None:
    check(name, splices)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"", b"{", b"<", b"PK\3\4", b"SQLite format 3\0"]), st.binary(max_size=500))
def test_random_bytes_are_refused(beginning: bytes, rest: bytes) -> None:
    assert not read(beginning + rest)


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_ten_thousand_mutated_files_are_read_or_refused_and_memory_stays_flat() -> None:
    @settings(max_examples=10_000, deadline=None, suppress_health_check=QUIET, database=None)
    @given(NAMES, SPLICES)
    def run(name: str, splices: list[tuple[float, str, bytes]]) -> None:
        check(name, splices)

    for content in WHOLE.values():
        read(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024, "kilobytes"
