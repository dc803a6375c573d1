"""Which chunks are kept, when a generation is whole, and what it is read to."""

import pytest

from libs.alliance.generations import Damaged, Shelf, named_by, read_atlas
from libs.events.types.directory import AreaChunkPublished
from libs.places import DamagedArea
from tests.unit.libs.alliance.areas import generation, square

FIRST, FIRST_CHUNKS = generation("1", {"a": square(0), "b": square(1)})
SECOND, SECOND_CHUNKS = generation("2", {"a": square(0), "b": square(1.5)})


def shelf(*chunks: AreaChunkPublished) -> Shelf:
    made = Shelf()
    for chunk in chunks:
        made.add(chunk)
    return made


def test_a_generation_is_whole_when_its_last_chunk_is_here_whichever_came_first() -> None:
    before = shelf(FIRST_CHUNKS["a"])
    before.announce(FIRST)
    assert before.missing(FIRST) == {FIRST_CHUNKS["b"].sha256}
    before.add(FIRST_CHUNKS["b"])
    assert not before.missing(FIRST)
    assert read_atlas(FIRST, before.chunks(FIRST)).generation == "1"


def test_a_chunk_that_is_not_what_its_name_says_is_refused() -> None:
    good = FIRST_CHUNKS["a"]
    with pytest.raises(Damaged):
        shelf(AreaChunkPublished(sha256=good.sha256, content=good.content + b"x"))


def test_what_no_generation_named_yet_is_kept_for_one_to_come() -> None:
    kept = shelf(*FIRST_CHUNKS.values(), SECOND_CHUNKS["b"])
    kept.announce(FIRST)
    kept.settle(FIRST)
    kept.announce(SECOND)
    assert not kept.missing(SECOND)


def test_what_only_a_generation_of_the_past_named_is_let_go() -> None:
    kept = shelf(*FIRST_CHUNKS.values(), *SECOND_CHUNKS.values())
    whole = kept.size
    kept.announce(FIRST)
    kept.announce(SECOND)
    assert kept.size == whole
    kept.settle(SECOND)
    assert not kept.missing(SECOND)
    assert kept.missing(FIRST) == {FIRST_CHUNKS["b"].sha256}
    assert kept.size == whole - len(FIRST_CHUNKS["b"].content)


def test_going_back_to_a_generation_of_the_past_asks_once_for_its_chunks_again() -> None:
    kept = shelf(*FIRST_CHUNKS.values(), *SECOND_CHUNKS.values())
    kept.announce(FIRST)
    kept.announce(SECOND)
    kept.settle(SECOND)
    kept.announce(FIRST)
    assert kept.expect_again(kept.missing(FIRST))
    assert not kept.expect_again(kept.missing(FIRST))
    kept.add(FIRST_CHUNKS["b"])
    assert not kept.missing(FIRST)


def test_a_chunk_of_the_past_that_comes_late_is_not_kept_and_can_be_asked_for() -> None:
    late = shelf(*SECOND_CHUNKS.values())
    late.announce(FIRST)
    late.announce(SECOND)
    late.settle(SECOND)
    late.add(FIRST_CHUNKS["b"])
    assert late.size == sum(len(chunk.content) for chunk in SECOND_CHUNKS.values())
    late.announce(FIRST)
    assert late.expect_again(late.missing(FIRST))


def test_a_chunk_that_never_came_is_not_asked_for_again() -> None:
    waiting = shelf(FIRST_CHUNKS["a"])
    waiting.announce(FIRST)
    assert not waiting.expect_again(waiting.missing(FIRST))


def test_areas_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(DamagedArea):
        read_atlas(FIRST, dict.fromkeys(named_by(FIRST), b"no geometry"))
    with pytest.raises(KeyError):
        read_atlas(FIRST, {})
