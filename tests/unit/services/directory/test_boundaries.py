"""From areas to pieces and an activation."""

import os

import numpy as np
import pytest
import shapely

from libs.alliance.generations import named_by, read_atlas
from libs.events.types.directory import AreaChunkPublished
from libs.places import sha256_of
from services.directory.boundaries import GenerationChanged, Plan, chunk_subject, plan
from tests.unit.libs.alliance.areas import square

AREAS = {"a": square(0), "b": square(1)}


def planned(generation: str = "1", areas: dict[str, shapely.Geometry] = AREAS, **rest: object) -> Plan:
    return plan(generation, "ours", 20.0, areas, **{"stored": (), "in_force": None} | rest)  # type: ignore[arg-type]


def stored(chunks: tuple[AreaChunkPublished, ...]) -> set[str]:
    return {chunk_subject(chunk.sha256) for chunk in chunks}


def test_the_pieces_and_the_activation_make_the_areas_again() -> None:
    made = planned()
    assert made.activation is not None
    assert made.activation.source == "ours"
    atlas = read_atlas(made.activation, {chunk.sha256: chunk.content for chunk in made.chunks})
    assert atlas.accuracy_m == 20.0
    assert [candidate.force for candidate in atlas.locate_grid(505_000, 255_000).candidates] == ["a"]
    assert [candidate.force for candidate in atlas.locate_grid(515_000, 255_000).candidates] == ["b"]


def test_every_piece_bears_the_name_of_its_content() -> None:
    for chunk in planned().chunks:
        assert chunk.sha256 == sha256_of(chunk.content)


def test_a_generation_in_force_is_not_said_again() -> None:
    first = planned()
    assert planned(stored=stored(first.chunks), in_force=first.activation) == Plan((), None)


def test_only_what_is_new_of_a_later_generation_is_published() -> None:
    first = planned()
    second = planned("2", {"a": square(0), "b": square(1.5)}, stored=stored(first.chunks), in_force=first.activation)
    assert second.activation is not None
    assert len(second.chunks) == 1
    assert second.chunks[0].sha256 in named_by(second.activation)
    assert named_by(second.activation) & {chunk.sha256 for chunk in first.chunks}


def test_a_load_that_broke_off_goes_on_where_it_stopped() -> None:
    first = planned()
    rest = planned(stored=stored(first.chunks[:1]))
    assert rest.chunks == first.chunks[1:]
    assert rest.activation == first.activation


def test_going_back_to_an_earlier_generation_publishes_no_geometry() -> None:
    first = planned()
    second = planned("2", {"a": square(3)}, stored=stored(first.chunks), in_force=first.activation)
    again = planned(stored=stored(first.chunks + second.chunks), in_force=second.activation)
    assert again == Plan((), first.activation)


def test_a_generation_never_changes() -> None:
    first = planned()
    with pytest.raises(GenerationChanged, match="a generation never changes"):
        planned(areas={"a": square(0), "b": square(1.5)}, stored=stored(first.chunks), in_force=first.activation)


def test_an_area_of_many_corners_goes_in_pieces_that_fit_an_event() -> None:
    turn = np.linspace(0, 2 * np.pi, 60_000, endpoint=False)
    noise = np.frombuffer(os.urandom(turn.size), dtype=np.uint8)
    ring = np.column_stack([np.cos(turn), np.sin(turn)]) * (10_000 + noise / 100)[:, None] + 300_000
    made = planned(areas={"large": shapely.polygons(ring)})
    assert made.activation is not None
    assert len(made.chunks) > 1
    assert all(len(chunk.content) <= 320 * 1024 for chunk in made.chunks)
    assert made.activation.areas[0].hashes == tuple(chunk.sha256 for chunk in made.chunks)
    read_atlas(made.activation, {chunk.sha256: chunk.content for chunk in made.chunks})
