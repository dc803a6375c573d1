"""`hueandcry.keys`: the key of each stream in which something is sealed. No facts: the latest of a Kafka key holds.

Kafka key: source, a space, subject. Value: the data key, wrapped by a master key; none where it was destroyed.
"""

TOPIC = "hueandcry.keys"
OF_TOPIC = "of-topic"
"""A header: the topic of the events that the key opens."""
