"""Every metric of the services' common part, with its meaning. The log's are in `libs.events.log.metrics`."""

from prometheus_client import Counter, Gauge, Histogram

REQUEST_S = Histogram(
    "hueandcry_http_request_seconds",
    "From the request's last header to the response's last byte, by operation (`unmatched`: no such path) and status",
    ["operation", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
requests_now = 0
"""Counted by `observe`: every request changes it twice, and a Gauge takes a lock each time."""
REQUESTS_NOW = Gauge("hueandcry_http_requests_in_flight", "Requests being served at this moment")
REQUESTS_NOW.set_function(lambda: requests_now)
REQUESTS_REFUSED = Counter(
    "hueandcry_http_refused_total",
    "Requests refused for what they are, before any operation saw them, by the problem's name",
    ["problem"],
)

CONNECTIONS_CLOSED = Counter(
    "hueandcry_connections_closed_total",
    "Connections that waited for a request and were closed so that another could open: of the same address, which had "
    "all it should have, or of any where the process had all it can hold",
)

TOKENS_REFUSED = Counter(
    "hueandcry_tokens_refused_total",
    "Bearer tokens that were not accepted, by why (`none`: there was none; `role`: valid, but its roles may not)",
    ["why"],
)
CLIENTS_REFUSED = Counter(
    "hueandcry_clients_refused_total",
    "Requests refused because their client had asked too much (`rate`, `at-once`), or brought too many bad tokens "
    "(`tokens`)",
    ["why"],
)
EMERGENCIES_SPARED = Counter(
    "hueandcry_emergencies_spared_total",
    "Requests about an emergency that were served though their client was over its limits",
)
ISSUER_FETCHES = Counter(
    "hueandcry_issuer_fetches_total",
    "Attempts to fetch the issuer's keys, by outcome (`fetched`, `failed`)",
    ["outcome"],
)
ISSUER_FETCHED_AT = Gauge(
    "hueandcry_issuer_fetched_timestamp_seconds", "When the issuer's keys were last fetched, Unix time; 0: never"
)

GLASS_BROKEN = Counter(
    "hueandcry_break_glass_total",
    "Records of another force that were opened by break-glass, by the reason given. Each is to be reviewed",
    ["code"],
)
TRACES_FAILED = Counter(
    "hueandcry_traces_failed_total",
    "Reads that were refused (503) because what they would have shown could not be written down",
)

BACKGROUND_RESTARTS = Counter(
    "hueandcry_background_restarts_total",
    "Loops of this process that ended by themselves and were started again",
    ["loop"],
)
READY = Gauge("hueandcry_ready", "1 where the last readiness check found nothing missing")
