"""The partition of a key: the one that any other producer of Kafka's gives it."""

from __future__ import annotations

from libs.events.log import kafka


def test_a_keys_partition_is_that_of_kafkas_own_partitioner() -> None:
    """Kafka's own test of its hash, UtilsTest.testMurmur2: signed numbers, as Java writes them."""
    hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, signed in hashes.items():
        assert kafka.partition_of(key, 1000) == (signed & 0x7FFFFFFF) % 1000
