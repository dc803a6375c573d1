"""What each role may do in a service's database: one table, from which every migration grants anew.

Invariants: no role of a service owns anything. Events are appended by `append()` alone, which runs as the owner: nobody
may update, delete or truncate them, and but for a caller's scope (libs/events/log/scope.sql) nobody may even read them.
What has no row here may be used by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from libs.events.log.roles import CONSUMER, READER, RELAY, WRITER, Part

Rights: TypeAlias = Mapping[Part, str]

_READ: Rights = {WRITER: "SELECT", READER: "SELECT", CONSUMER: "SELECT"}
_CHANGE = "SELECT, INSERT, UPDATE, DELETE"

TABLES: Mapping[str, Rights] = {
    # libs/events/log/schema.sql
    "event": {**_READ, RELAY: "SELECT"},
    "claim": _READ,
    # Its versions are append()'s own; who reads events needs the key.
    "stream": {
        WRITER: "SELECT (subject, key)",
        READER: "SELECT (subject, key)",
        CONSUMER: "SELECT (subject, key, resend), UPDATE (resend)",
        RELAY: "SELECT, UPDATE (resend)",
    },
    "erased": {CONSUMER: "SELECT"},
    "key_copy": {CONSUMER: _CHANGE},
    "relay": {RELAY: "SELECT, UPDATE"},
    "checkpoint": {CONSUMER: "SELECT, INSERT, UPDATE"},
    "reader_stream": {CONSUMER: "SELECT, INSERT, UPDATE"},
    "inbox": {CONSUMER: "SELECT, INSERT"},
    "held": {CONSUMER: _CHANGE},
    "projection": {CONSUMER: "SELECT"},
    "alembic_version": dict.fromkeys((WRITER, READER, RELAY, CONSUMER), "SELECT"),
    # libs/events/log/scope.sql
    "contact_access": _READ,
    # services/intake/schema.sql
    "decision": {READER: "SELECT", CONSUMER: "SELECT, INSERT, UPDATE"},
    "contact_incident": {**_READ, CONSUMER: "SELECT, INSERT"},
    "incident_crime": {**_READ, CONSUMER: "SELECT, INSERT, DELETE"},
    "erasure_confirmed": {**_READ, CONSUMER: "SELECT, INSERT"},
    # services/router/schema.sql
    "contact_intake": {WRITER: "SELECT, UPDATE", CONSUMER: "SELECT, INSERT, UPDATE"},
    "queue_entry": {WRITER: _CHANGE, READER: "SELECT", CONSUMER: _CHANGE},
    # services/recording/schema.sql
    "contact": {WRITER: "SELECT, UPDATE", READER: "SELECT", CONSUMER: "SELECT, INSERT, UPDATE"},
    "report": {WRITER: "SELECT, DELETE", CONSUMER: "SELECT, INSERT, DELETE"},
    # Read models' views; the tables behind them are granted as they are made (libs/events/log/projection.py).
    "audit_event": {READER: "SELECT", CONSUMER: "SELECT"},
    "audit_link": {READER: "SELECT", CONSUMER: "SELECT"},
    "incident_listed": {READER: "SELECT", CONSUMER: "SELECT"},
    "incident_force": {READER: "SELECT", CONSUMER: "SELECT"},
    "access_entry": {READER: "SELECT", CONSUMER: "SELECT"},
    "access_thing": {READER: "SELECT", CONSUMER: "SELECT"},
    "access_words": {READER: "SELECT", CONSUMER: "SELECT"},
    "break_glass": {READER: "SELECT", CONSUMER: "SELECT"},
}

FUNCTIONS: Mapping[str, tuple[Part, ...]] = {
    "append": (WRITER, CONSUMER),
    "is_appended": (WRITER, CONSUMER),
    "keep_access": (WRITER, CONSUMER),
    "stream_key": (WRITER, READER, CONSUMER),
    "key_refused": (WRITER, READER, CONSUMER),
    "copied_keys": (CONSUMER,),
    "keep_keys": (CONSUMER,),
    "refuse_key": (WRITER, CONSUMER),
    # What reads under a caller's scope runs with its caller's own rights.
    "scope_forces": (WRITER, READER, CONSUMER),
    "scope_holder": (WRITER, READER, CONSUMER),
    "set_scope": (WRITER, READER),
    "stream_in_scope": (READER,),
    "contact_in_scope": (READER,),
    "decision_in_scope": (READER,),
    "erasure_in_scope": (WRITER, READER),
    "queues_in_scope": (READER,),
    "queue_in_scope": (READER,),
    "queue_page_in_scope": (READER,),
    "known_in_scope": (READER,),
    "owing_in_scope": (READER,),
    "owing_count_in_scope": (READER,),
    "incidents_in_scope": (READER,),
    "history_in_scope": (READER,),
    "incident_in_scope": (READER,),
    "accesses_in_scope": (READER,),
    "break_glass_in_scope": (READER,),
    "policies_in_scope": (READER,),
}
