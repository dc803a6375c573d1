"""From a file to facts, and from what is there to what should be."""

from datetime import date

import msgspec
import pytest

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.events.types.directory import AllianceDefined, EntityWithdrawn, ForceDefined, LineDefined, QueueDefined
from libs.events.types.manner import CrimeReferenceDefined
from services.directory.alliance_file import CALENDARS, SHIPPED, AllianceFile, parse, read
from services.directory.forces import Contradiction, changes, desired
from services.directory.known import known_forces, known_holidays
from tests.unit.services.directory.test_alliance_file import GOOD

THREE = read(SHIPPED / "bedfordshire-cambridgeshire-hertfordshire.toml")
EAST = read(SHIPPED / "east-midlands.toml")


def loaded(*files: AllianceFile) -> Alliance:
    alliance = NOTHING_KNOWN
    for file in files:
        for change in changes(desired(file, known_forces(), known_holidays()), alliance):
            alliance = evolve(alliance, change.fact)
    return alliance


def altered(old: str, new: str) -> AllianceFile:
    text = (SHIPPED / "east-midlands.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    return parse(text.replace(old, new), "altered")


def test_all_forces_are_known_and_those_of_the_file_are_members() -> None:
    alliance = loaded(THREE)
    assert len(alliance.forces) == 48
    assert sorted(force.id for force in alliance.members) == ["bedfordshire", "cambridgeshire", "hertfordshire"]
    neighbour = alliance.forces["northamptonshire"]
    assert msgspec.structs.replace(neighbour, reach=()) == ForceDefined(
        id="northamptonshire", name="Northamptonshire", ons_code="E23000022", pnc_code="34", member=False
    )
    assert alliance.default_queue is not None
    assert alliance.default_queue.uri == "sip:alliance-default@queues.bch.example"


@pytest.mark.parametrize("file", [THREE, EAST], ids=lambda file: file.alliance.id)
def test_what_the_file_says_of_its_forces_is_what_is_published_of_them(file: AllianceFile) -> None:
    known = {force.id: force for force in known_forces()}
    for force in file.forces:
        assert (force.ons_code, force.pnc_code) == (known[force.id].ons_code, known[force.id].pnc_code)


def test_every_contact_of_a_member_has_its_queue() -> None:
    alliance = loaded(EAST)
    for force in EAST.forces:
        for line, channel, emergency, expected in (
            ("999", "telephone", False, "999"),
            ("101", "telephone", False, "101"),
            (None, "web", False, "web"),
            (None, "web", True, "999"),
            (None, "online", False, "online"),
            (None, "online", True, "999"),
        ):
            queue = alliance.queue_for(force.id, line, channel, emergency)  # type: ignore[arg-type]
            assert queue is not None
            assert queue.id == f"{force.id}-{expected}"


def test_every_force_is_known_by_how_the_public_reaches_it_and_who_owns_no_area_by_its_kind() -> None:
    alliance = loaded(THREE)
    kinds = {force.id: force.kind for force in alliance.forces.values() if force.kind != "territorial"}
    assert kinds == {
        "british-transport": "special",
        "ministry-of-defence": "special",
        "civil-nuclear": "special",
        "scotland": "scotland",
        "northern-ireland": "northern-ireland",
    }
    for force in alliance.forces.values():
        assert force.reach, force.id
        assert force.member <= (force.kind == "territorial")
        for way in force.reach:
            assert way.source.startswith("https://")
            assert way.by != "web" or way.to.startswith("https://")
    railway = {way.to for way in alliance.forces["british-transport"].reach}
    assert {"61016", "+448000405040"} <= railway


def test_a_force_that_says_nothing_of_its_crime_references_has_a_pattern_with_its_code() -> None:
    said = desired(parse(GOOD, "two.toml"), known_forces())
    assert said["crime-reference/north"] == CrimeReferenceDefined(force="north", pattern="NORTH/{sequence:6}/{yy}")


def test_the_nations_holidays_are_known_for_years() -> None:
    england = next(calendar for calendar in known_holidays() if calendar.id == "england-and-wales")
    days = {day.date: day.name for day in england.days}
    assert days[date(2026, 12, 28)] == "Boxing Day (observed)"
    assert date(2026, 4, 6) in days
    assert england.until is not None
    assert england.until >= date(2028, 12, 31)
    assert {calendar.id for calendar in known_holidays()} == set(CALENDARS)


def test_loading_the_same_again_says_nothing() -> None:
    assert changes(desired(THREE, known_forces(), known_holidays()), loaded(THREE)) == []


def test_a_file_from_before_loads_as_it_did() -> None:
    facts = desired(parse(GOOD, "two.toml"), known_forces())
    kinds = {subject.partition("/")[0] for subject in facts}
    assert kinds == {"alliance", "force", "queue", "line", "crime-reference"}


def test_one_changed_member_is_one_fact() -> None:
    later = altered('name = "Leicestershire, 999"', 'name = "Leicestershire and Rutland, 999"')
    [change] = changes(desired(later, known_forces(), known_holidays()), loaded(EAST))
    assert change.subject == "queue/leicestershire-999"
    assert isinstance(change.fact, QueueDefined)
    assert change.fact.name == "Leicestershire and Rutland, 999"


def test_what_is_gone_from_the_file_is_withdrawn_with_the_reason() -> None:
    text = (SHIPPED / "east-midlands.toml").read_text(encoding="utf-8")
    gone = text.rindex("[[lines]]")
    shorter = parse(text[:gone] + text[text.index("[[hours]]") :], "shorter")
    assert changes(desired(shorter, known_forces(), known_holidays()), loaded(EAST)) == [
        (
            "line/northamptonshire-101-1",
            EntityWithdrawn(entity="line/northamptonshire-101-1", reason="not in East Midlands as it was last loaded"),
        )
    ]


def test_what_comes_back_is_defined_again() -> None:
    assert loaded(THREE, EAST, THREE).queues == loaded(THREE).queues
    assert loaded(THREE, EAST, THREE).defined == loaded(THREE).defined


def test_switching_to_another_alliance_leaves_nothing_of_the_first() -> None:
    switched, fresh = loaded(THREE, EAST), loaded(EAST)
    for table in ("defined", "forces", "sites", "queues", "lines"):
        assert getattr(switched, table) == getattr(fresh, table)


def test_at_no_moment_of_a_switch_is_there_no_default_queue() -> None:
    alliance = loaded(THREE)
    for change in changes(desired(EAST, known_forces(), known_holidays()), alliance):
        alliance = evolve(alliance, change.fact)
        assert alliance.default_queue is not None
        if isinstance(change.fact, AllianceDefined):  # what it needs came before
            assert {"leicestershire-999", "leicestershire-web"} <= alliance.queues.keys()
            assert alliance.is_member("leicestershire")


def test_a_line_that_moves_to_another_force_is_never_unknown() -> None:
    later = altered(
        'force = "leicestershire"\ntrunk = "example-101-leicestershire-1"',
        'force = "nottinghamshire"\ntrunk = "example-101-leicestershire-1"',
    )
    [change] = changes(desired(later, known_forces(), known_holidays()), loaded(EAST))
    assert isinstance(change.fact, LineDefined)
    assert change.fact.force == "nottinghamshire"


def test_a_known_force_cannot_be_given_another_code() -> None:
    with pytest.raises(Contradiction, match=r"the ons_code of leicestershire is E23000021, not E23000099\."):
        desired(altered("E23000021", "E23000099"), known_forces())


def test_a_force_that_nobody_listed_can_still_be_a_member() -> None:
    text = (SHIPPED / "east-midlands.toml").read_text(encoding="utf-8").replace("leicestershire", "ruritania")
    text = text.replace("E23000021", "E23000099")
    alliance = loaded(parse(text, "ruritania"))
    assert alliance.is_member("ruritania")
    assert not alliance.is_member("leicestershire")
    assert len(alliance.forces) == 49
