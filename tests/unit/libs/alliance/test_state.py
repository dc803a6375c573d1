"""How facts change the picture, and what is read from it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.alliance import NOTHING_KNOWN, Alliance, evolve
from libs.events.types import Fact
from libs.events.types.contacts import ContactEnded
from libs.events.types.directory import (
    AllianceDefined,
    AreaChunkPublished,
    BoundariesActivated,
    EntityWithdrawn,
    ForceDefined,
    LineDefined,
    PolicyStored,
    PolicyWithdrawn,
    QueueDefined,
    SiteDefined,
)


def queue(name: str, force: str | None = "bedfordshire", **rest: object) -> QueueDefined:
    return QueueDefined(id=name, name=name, uri=f"sip:{name}@example.invalid", force=force, **rest)  # type: ignore[arg-type]


def policy(id_: str, payload: str) -> PolicyStored:
    of = {"policy_owner": "beds.test", "policy_type": "OtherRoutePolicy", "protected": "", "signature": "", "by": "ann"}
    return PolicyStored(id=id_, payload=payload, **of)


FACTS: tuple[Fact, ...] = (
    AllianceDefined(id="three", name="Three", default_queue="alliance-default"),
    ForceDefined(id="bedfordshire", name="Bedfordshire"),
    ForceDefined(id="essex", name="Essex", member=False),
    SiteDefined(id="here", name="Here"),
    queue("alliance-default", None),
    queue("bedfordshire-999", line="999", channels=("telephone",), emergency=True, priority=1),
    queue("bedfordshire-101", line="101", channels=("telephone",), priority=4),
    queue("bedfordshire-web", channels=("web",), priority=6),
    queue("bedfordshire-online", channels=("online",), priority=4),
    LineDefined(id="b-999", line="999", force="bedfordshire", trunk="t-1", dialled_number="+441632960001"),
    policy("p", "first"),
    BoundariesActivated(generation="g", source="s", accuracy_m=1.0, areas=()),
)


def after(*facts: Fact | None) -> Alliance:
    alliance = NOTHING_KNOWN
    for fact in facts:
        alliance = evolve(alliance, fact)
    return alliance


@given(st.permutations(FACTS))
def test_entities_may_come_in_any_order(facts: list[Fact]) -> None:
    assert after(*facts) == after(*FACTS)


def test_the_latest_version_of_a_policy_holds_until_it_is_withdrawn() -> None:
    stored = after(*FACTS, policy("q", "other"), policy("p", "second"))
    assert {id_: one.payload for id_, one in stored.policies.items()} == {"p": "second", "q": "other"}
    assert evolve(stored, PolicyWithdrawn(id="p", by="ann")).policies.keys() == {"q"}


def test_a_picture_in_use_never_changes() -> None:
    before = after(*FACTS)
    evolve(before, EntityWithdrawn(entity="queue/bedfordshire-999", reason="closed"))
    assert before == after(*FACTS)


def test_what_was_looked_up_before_is_not_remembered_after_a_change() -> None:
    before = after(*FACTS)
    assert before.queue_for("bedfordshire", "999", "telephone") is not None
    assert before.force_of_trunk("t-1") == "bedfordshire"
    later = evolve(before, EntityWithdrawn(entity="queue/bedfordshire-999", reason="closed"))
    later = evolve(later, EntityWithdrawn(entity="line/b-999", reason="ceased"))
    assert later.queue_for("bedfordshire", "999", "telephone") is None
    assert later.force_of_trunk("t-1") is None


def test_every_event_of_the_directory_counts_and_no_other() -> None:
    assert after(*FACTS).position == len(FACTS)
    assert after(None, None).position == 2
    assert after(AreaChunkPublished(sha256="x", content=b"")) == NOTHING_KNOWN


def test_a_fact_this_copy_does_not_know_changes_nothing_else() -> None:
    known = after(*FACTS)
    stranger = ContactEnded(reason="completed", ended_at=datetime.now(UTC))
    for fact in (None, stranger, EntityWithdrawn(entity="holiday/easter", reason="over")):
        assert replace(evolve(known, fact), position=known.position) == known


def test_the_latest_definition_holds_and_a_withdrawal_ends_it() -> None:
    alliance = after(*FACTS, ForceDefined(id="essex", name="Essex", member=True))
    assert alliance.is_member("essex")
    alliance = evolve(alliance, EntityWithdrawn(entity="force/essex", reason="merged"))
    assert not alliance.is_member("essex")
    assert "essex" not in alliance.forces
    assert [force.id for force in alliance.members] == ["bedfordshire"]


def test_withdrawing_the_alliance_before_last_leaves_the_present_one() -> None:
    alliance = after(*FACTS, AllianceDefined(id="four", name="Four", default_queue="alliance-default"))
    alliance = evolve(alliance, EntityWithdrawn(entity="alliance/three", reason="replaced"))
    assert alliance.defined is not None
    assert alliance.defined.id == "four"
    assert evolve(alliance, EntityWithdrawn(entity="alliance/four", reason="ended")).defined is None


def test_the_default_queue_is_none_until_it_is_known() -> None:
    assert after(*FACTS[:4]).default_queue is None
    assert after(*FACTS[:5]).default_queue == FACTS[4]


@pytest.mark.parametrize(
    ("line", "channel", "emergency", "expected"),
    [
        ("999", "telephone", False, "bedfordshire-999"),
        ("999", "telephone", True, "bedfordshire-999"),
        ("101", "telephone", False, "bedfordshire-101"),
        ("101", "telephone", True, "bedfordshire-999"),
        (None, "telephone", False, "bedfordshire-999"),
        (None, "web", False, "bedfordshire-web"),
        (None, "web", True, "bedfordshire-999"),
        (None, "online", False, "bedfordshire-online"),
        (None, "online", True, "bedfordshire-999"),
        ("999", "online", False, "bedfordshire-999"),
        ("101", "online", False, "bedfordshire-online"),
    ],
)
def test_a_contact_goes_to_the_queue_of_its_line_and_channel(line, channel, emergency, expected) -> None:  # type: ignore[no-untyped-def]
    found = after(*FACTS).queue_for("bedfordshire", line, channel, emergency)
    assert found is not None
    assert found.id == expected


def test_without_a_queue_that_fits_there_is_none() -> None:
    alliance = after(*FACTS)
    assert alliance.queue_for("essex", "999", "telephone") is None
    assert alliance.queue_for(None, "999", "telephone") is None
    only_web = after(queue("w", channels=("web",)))
    assert only_web.queue_for("bedfordshire", "999", "telephone") is None
    assert only_web.queue_for("bedfordshire", None, "web", emergency=True) == queue("w", channels=("web",))


def test_one_queue_for_everything_takes_everything() -> None:
    alliance = after(queue("all"))
    for line, channel in (("999", "telephone"), ("101", "telephone"), (None, "web"), (None, "online")):
        assert alliance.queue_for("bedfordshire", line, channel) == queue("all")  # type: ignore[arg-type]


def test_the_queue_made_for_a_contact_goes_before_one_that_takes_all_and_the_more_urgent_before_the_other() -> None:
    alliance = after(
        queue("all", priority=1),
        queue("web-late", channels=("web",), priority=7),
        queue("web-soon", channels=("web",), priority=6),
    )
    found = alliance.queue_for("bedfordshire", None, "web")
    assert found is not None
    assert found.id == "web-soon"


def test_an_emergency_call_stays_on_its_line_when_another_queue_takes_emergencies_of_the_web() -> None:
    alliance = after(queue("web-now", channels=("web",), emergency=True), queue("calls", line="999"))
    found = alliance.queue_for("bedfordshire", "999", "telephone", emergency=True)
    assert found is not None
    assert found.id == "calls"


def test_the_trunk_says_more_than_the_number() -> None:
    alliance = after(
        *FACTS, LineDefined(id="o", line="101", force="essex", trunk="t-2", dialled_number="+441632960002")
    )
    assert alliance.force_of_trunk("t-2") == "essex"
    assert alliance.force_of_number("+441632960001") == "bedfordshire"
    for trunk, number, expected in (
        ("t-2", "+441632960001", "o"),
        ("t-9", "+441632960001", "b-999"),
        (None, "+441632960002", "o"),
    ):
        line = alliance.line_of(trunk=trunk, dialled_number=number)
        assert line is not None
        assert line.id == expected
    assert alliance.line_of(trunk="t-9", dialled_number="+441632960009") is None
    assert alliance.force_of_trunk("t-9") is None
    assert alliance.force_of_number("101") is None
