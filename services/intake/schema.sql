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

-- A contact's events in order, and with the first of them its key, its latest decision, if that is known yet, and which
-- contact in the holder's hands it is read for: itself, or the one that he names. Nothing, where it is not in the scope.
CREATE FUNCTION contact_in_scope(forces text[], holder text, stream text, read_for text DEFAULT NULL)
RETURNS TABLE (told event, decision_version bigint, decided_at timestamptz, fact bytea, key bytea, in_hand text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT e, d.version, d.decided_at, d.fact,
               CASE WHEN e.version = 1 THEN (SELECT s.key FROM stream AS s WHERE s.subject = contact_in_scope.stream) END,
               CASE WHEN e.version = 1 THEN (
                   SELECT a.contact FROM contact_access AS a
                   WHERE a.contact = ANY (ARRAY[contact_in_scope.stream, read_for]) AND a.why = 'in-hands'
                     AND a.ended_at IS NULL AND a.holder = (SELECT scope_holder())
                   ORDER BY a.contact <> contact_in_scope.stream LIMIT 1
               ) END
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

-- Which incidents each contact led to, and the crimes those became, as recording says (services/intake/recorded.py): what
-- stands in the way of an erasure.
CREATE TABLE contact_incident (
    contact  text NOT NULL,
    incident text NOT NULL,
    PRIMARY KEY (contact, incident)
);
CREATE INDEX contact_incident_by_incident ON contact_incident (incident);  -- the policy of incident_crime
CREATE TABLE incident_crime (
    incident  text NOT NULL,
    reference text NOT NULL,
    PRIMARY KEY (incident, reference)
);

-- Which service has obeyed an erasure (services/intake/erasing.py).
CREATE TABLE erasure_confirmed (
    contact      text        NOT NULL,
    service      text        NOT NULL,
    source       text        NOT NULL,
    confirmed_at timestamptz NOT NULL,
    PRIMARY KEY (contact, service, source)
);

ALTER TABLE contact_incident ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON contact_incident FOR SELECT USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = contact_incident.contact LIMIT 1)
);
ALTER TABLE incident_crime ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON incident_crime FOR SELECT USING (
    (SELECT true FROM contact_incident AS i WHERE i.incident = incident_crime.incident LIMIT 1)
);
ALTER TABLE erasure_confirmed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON erasure_confirmed FOR SELECT USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = erasure_confirmed.contact LIMIT 1)
);

-- What an erasure of the contact depends on, and who has obeyed it: a row an incident and each of its crimes, and a row a
-- confirmation. The scope stands for the rest of the transaction.
CREATE FUNCTION erasure_in_scope(forces text[], holder text, of_contact text)
RETURNS TABLE (incident text, crime text, service text, source text, confirmed_at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT i.incident, k.reference, NULL, NULL, NULL::timestamptz
        FROM contact_incident AS i LEFT JOIN incident_crime AS k ON k.incident = i.incident
        WHERE i.contact = of_contact
        UNION ALL
        SELECT NULL, NULL, c.service, c.source, c.confirmed_at FROM erasure_confirmed AS c WHERE c.contact = of_contact
        ORDER BY 1, 2, 5;
END
$$;
