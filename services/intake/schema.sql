-- Intake's own tables, beside the event store (libs/events/log/schema.sql).

-- The latest routing decision of each contact, as the router published it (services/intake/decisions.py).
CREATE TABLE decision (
    contact    text        PRIMARY KEY,  -- looked up by an answer that waits, and by GET /v1/contacts/{id}
    version    bigint      NOT NULL,     -- of the router's stream: an older one never overwrites a newer
    decided_at timestamptz NOT NULL,
    fact       bytea       NOT NULL      -- ContactRouted as JSON; it holds nothing personal
) WITH (fillfactor = 80);                -- a few decisions a contact, each replacing the one before in place
