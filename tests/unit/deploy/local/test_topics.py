from __future__ import annotations

from datetime import timedelta

from deploy.local.topics import DAY_MS, HOUR_MS, TOPICS, all_topics, topics_of
from libs.events.log.erasures import reader_of
from libs.events.log.held import dead_letter_topic
from libs.events.schemas.documents import TRAFFIC
from libs.events.types import FACTS
from services.intake import decisions
from services.intake.protection_models import BROKER_FORGETS, FEEDS_FORGET, SERVICES
from services.recording import app as recording
from services.recording.projections import PROJECTIONS
from services.router import app as router

BY_NAME = {topic.name: topic for topic in TOPICS}


def test_every_fact_has_its_topic() -> None:
    assert {fact.TOPIC for fact in FACTS} <= BY_NAME.keys()


def test_facts_are_kept_for_ever() -> None:
    for topic in {fact.TOPIC for fact in FACTS}:
        assert BY_NAME[topic].settings["cleanup.policy"] == "delete"
        assert BY_NAME[topic].settings["retention.ms"] == "-1"
        assert BY_NAME[topic].settings["retention.bytes"] == "-1"


def test_the_directory_and_the_erasures_have_one_order() -> None:
    assert BY_NAME["hueandcry.directory"].partitions == 1
    assert BY_NAME["hueandcry.erasures"].partitions == 1


def test_what_an_erasure_says_of_the_broker_and_the_feeds_is_what_the_topics_do() -> None:
    keys, feed = BY_NAME["hueandcry.keys"].settings, topics_of("bedfordshire")[0].settings
    assert int(keys["max.compaction.lag.ms"]) + int(keys["segment.ms"]) <= BROKER_FORGETS / timedelta(milliseconds=1)
    assert int(feed["retention.ms"]) + 2 * int(feed["segment.ms"]) == FEEDS_FORGET / timedelta(milliseconds=1)
    assert set(SERVICES) == set(BY_NAME["hueandcry.erasures"].read_by)


def test_a_key_of_a_subject_replaces_the_one_before_within_a_day() -> None:
    settings = BY_NAME["hueandcry.keys"].settings
    assert settings["cleanup.policy"] == "compact"
    assert int(settings["max.compaction.lag.ms"]) + int(settings["segment.ms"]) <= DAY_MS


def test_a_forces_own_topics_forget_after_seven_days_and_no_one_else_writes_its_answers() -> None:
    feed, inbound = topics_of("bedfordshire")
    assert (feed.name, inbound.name) == ("hueandcry.force.bedfordshire", "hueandcry.force.bedfordshire.inbound")
    for topic in (feed, inbound):
        assert topic.settings["retention.ms"] == str(7 * DAY_MS)
        assert topic.settings["segment.ms"] == str(HOUR_MS)
    assert feed.written_by == ("router",)
    assert inbound.written_by == ("force-bedfordshire",)


def test_each_topic_stands_in_the_table_once() -> None:
    names = [topic.name for topic in all_topics(["bedfordshire", "hertfordshire"])]
    assert len(names) == len(set(names))


def test_every_shared_reader_has_its_dead_letter_topic_and_a_rebuilt_read_model_the_same() -> None:
    generations = [projection.reader(generation) for projection in PROJECTIONS for generation in (1, 2)]
    readers = [decisions.READER, router.READER, recording.READER, *generations, *map(reader_of, SERVICES)]
    dead_letters = {name for name in BY_NAME if name.startswith("hueandcry.deadletter.")}
    assert {dead_letter_topic(reader) for reader in readers} == dead_letters


def test_every_service_may_read_and_write_what_its_document_says() -> None:
    for service, traffic in TRAFFIC.items():
        assert set(traffic.sends) <= {topic.name for topic in TOPICS if service in topic.written_by}
        assert set(traffic.receives) <= {topic.name for topic in TOPICS if service in topic.read_by}


def test_nobody_reads_facts_that_no_document_says_it_receives() -> None:
    facts = {fact.TOPIC for fact in FACTS}
    for topic in TOPICS:
        readers = {service for service, traffic in TRAFFIC.items() if topic.name in traffic.receives}
        assert topic.name not in facts or set(topic.read_by) == readers
