-- The router's own tables, beside the event store's (libs/events/log/schema.sql).
--
-- Whoever takes locks in more than one of them takes them in this order, each table's rows by contact:
-- queue_entry, contact_intake, then the streams by append(). So nobody waits in a circle.

-- What intake has said of a contact, as far as later decisions need it (services/router/contact.py, `Heard`, as JSON).
-- Nothing of it is personal: of a location only the forces it may lie in are kept.
CREATE TABLE contact_intake (
    contact text  COLLATE "C" PRIMARY KEY,
    heard   bytea NOT NULL
) WITH (fillfactor = 80);  -- room to hear more in place

-- The contacts that wait, one row each: a row comes when a contact is routed or given back, and goes when it is taken
-- or abandoned, in the transaction that says so.
CREATE TABLE queue_entry (
    contact         text        COLLATE "C" PRIMARY KEY,
    queue           text        NOT NULL,
    priority        int         NOT NULL,
    waiting_since   timestamptz NOT NULL,
    reference       text,
    channel         text,
    medium          text,
    line            text,
    owning_force    text,
    presented_force text,
    incident_force  text,
    provisional     boolean     NOT NULL,
    cause           text        NOT NULL,
    candidates      bytea       NOT NULL,  -- JSON, as in ContactRouted
    needs_handler   boolean     NOT NULL
) WITH (
    -- Rows live for seconds. Dead ones at the head of the index would be stepped over by every claim.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_insert_threshold = -1
);
-- A claim takes the first of a queue; a queue is shown in this order, and counted.
CREATE INDEX queue_entry_in_order ON queue_entry (queue, priority, waiting_since, contact);

-- Who may see a contact may see what was heard of it and where it waits.
ALTER TABLE contact_intake ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON contact_intake USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = contact_intake.contact COLLATE "default" LIMIT 1)
);
ALTER TABLE queue_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON queue_entry USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = queue_entry.contact COLLATE "default" LIMIT 1)
);

-- Each queue in which somebody of the scope waits.
CREATE FUNCTION queues_in_scope(forces text[], holder text)
RETURNS TABLE (queue text, length bigint, oldest_waiting_since timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY SELECT q.queue, count(*), min(q.waiting_since) FROM queue_entry AS q GROUP BY q.queue;
END
$$;

-- One queue, as far as it is in the scope.
CREATE FUNCTION queue_in_scope(forces text[], holder text, named text)
RETURNS TABLE (length bigint, oldest_waiting_since timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY SELECT count(*), min(q.waiting_since) FROM queue_entry AS q WHERE q.queue = named;
END
$$;

-- A page of a queue, after the place in it where the last page ended.
CREATE FUNCTION queue_page_in_scope(
    forces text[], holder text, named text, after_priority int, after_since timestamptz, after_contact text, most int
) RETURNS SETOF queue_entry LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT * FROM queue_entry AS q
        WHERE q.queue = named AND (q.priority, q.waiting_since, q.contact) > (after_priority, after_since, after_contact)
        ORDER BY q.priority, q.waiting_since, q.contact
        LIMIT most;
END
$$;
