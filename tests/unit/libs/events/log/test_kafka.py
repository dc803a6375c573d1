"""The partition of a key: the one that any other producer of Kafka's gives it."""

from __future__ import annotations

from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from libs.events.log import kafka


@given(st.binary(max_size=64), st.integers(2, 48))
def test_a_keys_partition_is_that_of_kafkas_own_partitioner(key: bytes, partitions: int) -> None:
    assert kafka.partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


def test_java_gives_the_same() -> None:
    """Kafka's own test of its hash, UtilsTest.testMurmur2: signed numbers, as Java writes them."""
    hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, signed in hashes.items():
        assert kafka.partition_of(key, 1000) == (signed & 0x7FFFFFFF) % 1000
