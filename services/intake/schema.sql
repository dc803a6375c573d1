-- Intake's own tables, beside the event store (libs/events/log/schema.sql).

-- The latest routing decision of each contact, as the router published it (services/intake/decisions.py).
CREATE TABLE decision (
    contact    text        PRIMARY KEY,  -- looked up by an answer that waits, and by GET /v1/contacts/{id}
    version    bigint      NOT NULL,     -- of the router's stream: an older one never overwrites a newer
    decided_at timestamptz NOT NULL,
    fact       bytea       NOT NULL      -- ContactRouted as JSON; it holds nothing personal
) WITH (fillfactor = 80);                -- a few decisions a contact, each replacing the one before in place
ALTER TABLE decision ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON decision FOR SELECT USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = decision.contact LIMIT 1)
);

-- A contact's events in order, and with the first of them its key, and its latest decision, if that is known yet.
-- Nothing, where the contact is not in the scope.
CREATE FUNCTION contact_in_scope(forces text[], holder text, stream text)
RETURNS TABLE (told event, decision_version bigint, decided_at timestamptz, fact bytea, key bytea)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT e, d.version, d.decided_at, d.fact,
               CASE WHEN e.version = 1 THEN (SELECT s.key FROM stream AS s WHERE s.subject = contact_in_scope.stream) END
        FROM event AS e LEFT JOIN decision AS d ON e.version = 1 AND d.contact = stream
        WHERE e.subject = stream
        ORDER BY e.version;
END
$$;

-- A contact's latest decision. Nothing, where there is none in the scope.
CREATE FUNCTION decision_in_scope(forces text[], holder text, of_contact text) RETURNS SETOF decision
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY SELECT * FROM decision AS d WHERE d.contact = of_contact;
END
$$;
