from hypothesis import given
from hypothesis import strategies as st

from services.intake import reference

numbers = st.integers(0, reference.BASE**reference.DIGITS - 1)
positions = st.integers(0, reference.DIGITS)


def _characters(text: str) -> list[str]:
    return list(text.replace("-", ""))


@given(numbers)
def test_a_reference_is_two_groups_of_four_of_the_alphabet(number: int) -> None:
    text = reference.of(number)
    assert len(text) == 9
    assert text[4] == "-"
    assert set(_characters(text)) <= set(reference.ALPHABET)


def test_the_alphabet_has_no_lookalikes_and_no_vowels() -> None:
    assert len(set(reference.ALPHABET)) == 23
    assert not set(reference.ALPHABET) & set("01OQILSZBGUAE")


@given(numbers, numbers)
def test_no_two_numbers_share_a_reference(one: int, other: int) -> None:
    assert (reference.of(one) == reference.of(other)) == (one == other)


@given(numbers, st.booleans(), st.sampled_from(["", " ", "-", " - "]))
def test_a_reference_is_read_however_it_was_written_down(number: int, small: bool, between: str) -> None:
    text = reference.of(number)
    written = between.join([text[:4], text[5:]])
    assert reference.read(written.lower() if small else written) == text


def test_letters_that_look_like_a_character_of_the_alphabet_are_read_as_it() -> None:
    text = next(
        text for text in map(reference.of, range(10_000_000, 20_000_000)) if set("2586V") <= set(text[:8]) | {"6"}
    )
    misread = text.replace("2", "Z").replace("5", "S").replace("8", "B").replace("6", "G").replace("V", "U")
    assert misread != text
    assert reference.read(misread) == text


@given(numbers, positions, st.sampled_from(reference.ALPHABET))
def test_one_wrong_character_is_always_noticed(number: int, position: int, character: str) -> None:
    characters = _characters(reference.of(number))
    right = characters[position]
    characters[position] = character
    assert (reference.read("".join(characters)) is None) == (character != right)


@given(numbers, positions, positions)
def test_two_characters_exchanged_are_always_noticed(number: int, one: int, other: int) -> None:
    characters = _characters(reference.of(number))
    same = characters[one] == characters[other]
    characters[one], characters[other] = characters[other], characters[one]
    assert (reference.read("".join(characters)) is None) == (not same)


@given(st.text(max_size=20))
def test_reading_anything_else_answers_none_or_a_true_reference(text: str) -> None:
    read = reference.read(text)
    assert read is None or reference.read(read) == read


def test_what_is_drawn_can_be_read_and_is_not_drawn_again_at_once() -> None:
    drawn = {reference.draw() for _ in range(1000)}
    assert len(drawn) > 990
    assert all(reference.read(text) == text for text in drawn)
