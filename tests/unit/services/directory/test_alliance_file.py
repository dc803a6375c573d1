"""What may stand in an alliance file, and what is said of one that is wrong."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.directory.alliance_file import SHIPPED, Unusable, find, parse, read

GOOD = """\
[alliance]
id = "two"
name = "Two"
default_queue = "alliance-default"
domain = "queues.example"

[[forces]]
id = "north"
name = "North"

[[forces]]
id = "south"
name = "South"
ons_code = "E23000026"

[[queues]]
id = "alliance-default"
name = "Not placed"
priority = 2

[[queues]]
id = "north-999"
name = "North, 999"
force = "north"
line = "999"
channels = ["telephone"]

[[lines]]
id = "north-999-1"
line = "999"
force = "north"
trunk = "t-1"
dialled_number = "+441632960001"
"""


def refusal(text: str) -> str:
    with pytest.raises(Unusable) as caught:
        parse(text, "two.toml")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_good_file_is_read_whole() -> None:
    file = parse(GOOD, "two.toml")
    assert [force.id for force in file.forces] == ["north", "south"]
    assert file.sites == ()
    assert file.queues[1].channels == ("telephone",)


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('line = "999"\nchannels', 'line = "9"\nchannels', "line 25: queues[2].line: Input should be '999' or '101'"),
        ("priority = 2", "priority = 0", "line 19: queues[1].priority: Input should be greater than or equal to 1"),
        ("priority = 2", "prioity = 2", "line 19: queues[1].prioity: there is no such key"),
        ('name = "South"\n', "", "line 11: forces[2].name: this key is missing"),
        ('default_queue = "alliance-default"\n', "", "line 1: alliance.default_queue: this key is missing"),
        ('"north"\nline', '"west"\nline', "line 24: queues[2].force: west is none of this file's forces"),
        ('"north"\ntrunk', '"west"\ntrunk', "line 31: lines[1].force: west is none of this file's forces"),
        ('trunk = "t-1"\ndialled_number = "+441632960001"\n', "", "line 29: lines[1].id: a line has a trunk"),
        ('"+441632960001"', '"01632 960001"', "line 33: lines[1].dialled_number: this must be an E.164 number"),
        ('id = "south"', 'id = "north"', "line 12: forces[2].id: north is here twice"),
        ('queue = "alliance-default"', 'queue = "d"', "line 4: alliance.default_queue: there is no queue d"),
        ('queue = "alliance-default"', 'queue = "north-999"', "line 22: queues[2].id: the default queue is"),
        ('name = "Two"', 'name = "Two', "line 3, column 12: this is not TOML"),
        ('id = "two"', 'id = "Two!"', "line 2: alliance.id: this must be lower-case letters"),
        ("[alliance]", "x = 1\n[alliance]", "line 1: x: there is no such key"),
        ("[[lines]]", "[[lins]]", "line 28: lins: there is no such key"),
        ('"E23000026"', "23", "line 14: forces[2].ons_code: Input should be a valid string"),
        ('id = "south"', 'agency = "queues.example"\nid = "south"', "line 12: forces[2].agency: queues.example is the"),
        ('id = "south"', 'signed_policies = true\nid = "south"', "line 12: forces[2].signed_policies: nobody could"),
        ('"queues.example"', '"q.example"\npolicy_authorities = "x"', "line 6: alliance.policy_authorities: this must"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_line_and_key(wrong: str, right: str, said: str) -> None:
    assert GOOD.count(wrong) == 1
    assert refusal(GOOD.replace(wrong, right)).startswith(f"two.toml, {said}")


@settings(max_examples=300)
@given(st.data())
def test_whatever_is_in_a_file_it_is_read_or_refused(data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        other = st.sampled_from(lines) | st.text(max_size=20) | st.just('id = "' + "(" * 3) | st.just('"a(" = 1')
        lines[at] = data.draw(other)
    with suppress(Unusable):  # and nothing else
        parse("\n".join(lines), "two.toml")


def test_a_file_nested_without_end_is_refused() -> None:
    assert "nested too deeply" in refusal("a = " + "[" * 100_000)


WHOLE = (
    GOOD
    + """
[[holidays]]
id = "north"
name = "North"
force = "north"
includes = "england-and-wales"
days = [{ date = 2026-12-24, name = "Christmas Eve" }]

[[hours]]
id = "north"
force = "north"
week = ["mon-fri 08:00-12:00", "mon-fri 13:00-17:00"]
holidays = "north"

[[greetings]]
id = "north-en"
force = "north"
text = "Hello."

[[crime_references]]
force = "north"
pattern = "N/{sequence:5}/{yy}"

[[agreements]]
id = "one"
title = "One"
signed_on = 2026-03-01
first_day = 2026-04-01
last_day = 2027-03-31
parties = ["north", "south"]
host = "north"

[[agreements.services]]
id = "a"
name = "A"
shared_by = "budget"
basis = "£"
figures = { north = 1, south = 2 }
data_controllers = ["north"]

[[agreements.services]]
id = "b"
name = "B"
shared_by = "fixed"
basis = "agreed"
figures = { north = 0.25, south = 0.75 }
data_controllers = ["north", "south"]

[[agreements]]
id = "two"
title = "Two again"
signed_on = 2027-03-01
first_day = 2027-04-01
parties = ["north", "south"]
host = "north"

[[agreements.services]]
id = "a"
name = "A"
shared_by = "demand"
basis = "calls"
figures = { north = 10, south = 20 }
data_controllers = ["north"]
"""
)


def _line(text: str, nth: int = 1) -> int:
    return [number for number, line in enumerate(WHOLE.splitlines(), 1) if text in line][nth - 1]


def test_what_a_file_says_of_hours_holidays_greetings_references_and_the_agreement_is_read() -> None:
    file = parse(WHOLE, "two.toml")
    [hours] = file.hours
    monday = hours.fact("north").week[0]
    assert [(period.opens, period.closes) for period in monday.periods] == [("08:00", "12:00"), ("13:00", "17:00")]
    assert [service.fact().id for service in file.agreements] == ["one", "two"]


@pytest.mark.parametrize(
    ("wrong", "right", "at", "said"),
    [
        ("mon-fri 08:00-12:00", "mon-fri 08:00-14:00", ("week =", 1), "hours[1].week: 13:00-17:00 begins before"),
        ("mon-fri 08:00-12:00", "mon-fry 08:00-12:00", ("week =", 1), "hours[1].week[1]: this must be days and hours"),
        ("mon-fri 08:00-12:00", "mon 22:00-06:00", ("week =", 1), "hours[1].week: 22:00-06:00 ends before"),
        (
            'holidays = "north"',
            'holidays = "x"',
            ('holidays = "north"', 1),
            "hours[1].holidays: there is no calendar x",
        ),
        ('id = "north"\nforce', 'id = "north"\nqueue', ("[[hours]]", 1), "hours[1].queue: north is none"),
        ('"england-and-wales"', '"north"', ("includes", 1), "holidays[1].includes: north would include itself"),
        (
            "N/{sequence:5}/{yy}",
            "N/{yy}",
            ("pattern", 1),
            "crime_references[1].pattern: this must have {sequence} once",
        ),
        ("2027-03-31", "2027-03-30", ("first_day", 2), "agreements[2].first_day: after one ends on 2027-03-30 nothing"),
        ("2027-03-31", "2027-04-01", ("first_day", 2), "agreements[2].first_day: one is in force until 2027-04-01"),
        (
            "south = 0.75",
            "south = 0.7",
            ("figures", 2),
            "agreements[1].services[2].figures: fixed shares must sum to 1",
        ),
        ("south = 20", "west = 20", ("figures", 3), "agreements[2].services[1].figures: the figures must be of every"),
        ('shared_by = "demand"', 'shared_by = "d"', ("shared_by", 3), "agreements[2].services[1].shared_by: Input"),
    ],
)
def test_what_is_wrong_in_them_is_named_with_its_line(wrong: str, right: str, at: tuple[str, int], said: str) -> None:
    text = WHOLE
    if wrong.startswith("id = "):
        where = WHOLE.index(wrong, WHOLE.index("[[hours]]"))
        text = WHOLE[:where] + right + WHOLE[where + len(wrong) :]
        line = _line("[[hours]]") + 2
    else:
        assert WHOLE.count(wrong) == 1
        text, line = WHOLE.replace(wrong, right), _line(*at)
    assert refusal(text).startswith(f"two.toml, line {line}: {said}")


def test_two_lines_cannot_share_a_trunk_or_a_number() -> None:
    again = GOOD[GOOD.index("[[lines]]") :].replace("north-999-1", "north-999-2")
    assert "lines[2].trunk: t-1 is here twice" in refusal(GOOD + again)
    assert "lines[2].dialled_number" in refusal(GOOD + again.replace("t-1", "t-2"))


def test_a_file_written_in_another_style_is_named_without_a_line() -> None:
    inline = GOOD[: GOOD.index("[[lines]]")].replace("[alliance]", 'lines = [{ id = "x", line = "9" }]\n[alliance]')
    assert refusal(inline).startswith("two.toml: lines[1].line: Input should be")


def test_a_file_that_is_no_text_or_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(Unusable, match="line 2: this is not UTF-8"):
        read(binary)
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(Unusable, match="over 1024 KiB"):
        read(large)
    with pytest.raises(Unusable, match="cannot be read: No such file"):
        read(tmp_path / "none.toml")


def test_an_alliance_is_found_by_name_or_by_path() -> None:
    assert find("east-midlands") == SHIPPED / "east-midlands.toml"
    path = str(SHIPPED / "east-midlands.toml")
    assert find(path) == Path(path)
    with pytest.raises(Unusable, match="bedfordshire-cambridgeshire-hertfordshire, east-midlands"):
        find("atlantis")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_files_are_right(path: Path) -> None:
    file = read(path)
    assert file.alliance.id == path.stem
    assert file.alliance.default_queue == "alliance-default"
    assert len(file.forces) == 3
    expected = {f"{force.id}-{what}" for force in file.forces for what in ("999", "101", "web", "online")}
    assert {queue.id for queue in file.queues} == expected | {"alliance-default"}
    for force in file.forces:
        assert {line.line for line in file.lines if line.force == force.id} == {"999", "101"}
    # Ofcom's numbers for drama, and nobody's domain: nothing here can reach anybody.
    assert all((line.dialled_number or "").startswith("+441632960") for line in file.lines)
    assert file.alliance.domain.endswith(".example")


def test_the_sites_are_those_of_the_plan_and_the_east_midlands_has_not_decided() -> None:
    sites = {path.stem: [site.name for site in read(path).sites] for path in SHIPPED.glob("*.toml")}
    assert sites == {
        "bedfordshire-cambridgeshire-hertfordshire": ["Hinchingbrooke", "Welwyn Garden City"],
        "east-midlands": [],
    }
    assert "Sites: not decided" in (SHIPPED / "east-midlands.toml").read_text(encoding="utf-8")
