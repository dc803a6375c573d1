"""Every metric of the log, with its meaning."""

from prometheus_client import Counter, Gauge, Histogram

APPENDED = Counter("hueandcry_log_appended_total", "Events committed by the group-commit appender")
APPEND_BATCH = Histogram(
    "hueandcry_log_append_batch",
    "Appends that went together in one commit",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
APPEND_REFUSED = Counter("hueandcry_log_append_refused_total", "Appends refused, by why", ["why"])

RELAYED = Counter("hueandcry_log_relayed_total", "Events acknowledged by Kafka")
KEYS_SENT = Counter("hueandcry_log_keys_sent_total", "Keys of streams, and their ends, acknowledged by Kafka")
MASTER_MADE_AT = Gauge("hueandcry_log_master_key_made_timestamp_seconds", "When the current master key was made")
RELAY_POSITION = Gauge("hueandcry_log_relay_position", "The last position Kafka has acknowledged")
RELAY_HOLDS_LOCK = Gauge("hueandcry_log_relay_active", "1 where this copy is the database's one relay")

APPLIED = Counter("hueandcry_log_applied_total", "Events a shared reader has applied", ["reader"])
DUPLICATES = Counter("hueandcry_log_duplicates_total", "Events a shared reader has skipped as seen before", ["reader"])
HELD = Gauge("hueandcry_log_held", "Events a shared reader has set aside, by why", ["reader", "why"])
PARKED = Counter("hueandcry_log_parked_total", "Events a shared reader could not apply and has parked", ["reader"])
OLDEST_GAP_S = Gauge(
    "hueandcry_log_oldest_gap_seconds", "How long the oldest gap of a reader has been open", ["reader"]
)
STOPPED = Gauge("hueandcry_log_reader_stopped", "1 where a reader has stopped until people have looked", ["reader"])
