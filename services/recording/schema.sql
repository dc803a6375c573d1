-- Recording's own tables, beside those of libs/events/log/schema.sql. The read models `audit` and `incidents` make their
-- own (audit.py, incident_list.py), because they are rebuilt beside the live ones.

-- What recording knows of each contact (contact.py says what each column means). No personal data.
CREATE TABLE contact (
    id              uuid PRIMARY KEY,
    received        uuid,
    routed          uuid,
    incident        uuid,
    received_at     timestamptz NOT NULL DEFAULT now(),  -- when it was heard of, until it is known
    ended_at        timestamptz,
    disposed_at     timestamptz,
    provisional     boolean NOT NULL DEFAULT false,
    unassigned      boolean NOT NULL DEFAULT false,
    reference       text,
    channel         text,
    line            text,
    presented_force text,
    owning_force    text,
    incident_force  text,
    queue           text,
    handler         text,
    answering_force text,
    disposition     text
) WITH (fillfactor = 70);  -- each contact is updated a few times while it lives

-- GET /v1/contacts?disposition=none: ended ones first, oldest first; and the count of them. It holds only what is owed.
CREATE INDEX contact_owing ON contact ((ended_at IS NULL), received_at, id)
    WHERE disposition IS NULL;

-- GET /v1/incidents/{id}: whose contacts lead to this incident.
CREATE INDEX contact_of_incident ON contact (incident) WHERE incident IS NOT NULL;

-- A web report that came before its routing: the received event's data as it came, sealed, until its incident is opened.
CREATE TABLE report (
    contact  uuid PRIMARY KEY,
    source   text  NOT NULL,  -- whose key opens it
    received bytea NOT NULL
);

-- Who may see a contact may see what is known of it.
ALTER TABLE contact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON contact USING ((SELECT true FROM contact_access AS a WHERE a.contact = contact.id::text LIMIT 1));
ALTER TABLE report ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON report USING ((SELECT true FROM contact_access AS a WHERE a.contact = report.contact::text LIMIT 1));

-- Who disposes of a contact again is told what stands, the incident included that it led to, whoever owns that.
CREATE POLICY commanded ON event FOR SELECT USING (
    (SELECT true FROM contact AS c WHERE c.incident::text = event.subject LIMIT 1)
);
CREATE INDEX contact_of_incident_as_text ON contact ((incident::text)) WHERE incident IS NOT NULL;

CREATE FUNCTION known_in_scope(forces text[], holder text, wanted uuid) RETURNS SETOF contact LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY SELECT * FROM contact AS c WHERE c.id = wanted;
END
$$;

-- Contacts without a disposition: those that ended first, then oldest first. Index contact_owing.
CREATE FUNCTION owing_in_scope(
    forces text[], holder text, owned_by text, after_open boolean, after_received timestamptz, after_id uuid, most int
) RETURNS SETOF contact LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT * FROM contact AS c
        WHERE c.disposition IS NULL AND (owned_by IS NULL OR c.owning_force = owned_by)
          AND ((c.ended_at IS NULL), c.received_at, c.id) > (after_open, after_received, after_id)
        ORDER BY (c.ended_at IS NULL), c.received_at, c.id
        LIMIT most;
END
$$;

-- How many those are, by owner.
CREATE FUNCTION owing_count_in_scope(forces text[], holder text, owned_by text)
RETURNS TABLE (force text, open bigint, ended bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT c.owning_force, count(*) FILTER (WHERE c.ended_at IS NULL), count(*) FILTER (WHERE c.ended_at IS NOT NULL)
        FROM contact AS c
        WHERE c.disposition IS NULL AND (owned_by IS NULL OR c.owning_force = owned_by)
        GROUP BY c.owning_force ORDER BY c.owning_force;
END
$$;

-- A page of incidents listed for some of the scope's forces (incident_list.py), newest reported first.
CREATE FUNCTION incidents_in_scope(
    forces text[], holder text, listed_for text[], before uuid, owned_by text, most int
) RETURNS TABLE (
    id uuid, reference text, owning_force text, owned_because text, provisional boolean, category text, contacts int,
    reported_at timestamptz, opened_at timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT DISTINCT p.*
        FROM unnest(listed_for) AS a (force)
        CROSS JOIN LATERAL (
            SELECT i.id, i.reference, i.owning_force, i.owned_because, i.provisional, i.category, i.contacts,
                   i.reported_at, i.opened_at
            FROM incident_force AS f JOIN incident_listed AS i ON i.id = f.incident
            WHERE f.force = a.force AND f.incident < before AND i.id < before
              AND (owned_by IS NULL OR i.owning_force = owned_by)
            ORDER BY f.incident DESC
            LIMIT most
        ) AS p
        ORDER BY p.id DESC
        LIMIT most;
END
$$;

-- Every event about a contact and the incidents it led to (audit.py).
CREATE FUNCTION history_in_scope(forces text[], holder text, of_contact text, most int) RETURNS TABLE (
    version bigint, "time" timestamptz, id uuid, causation_id uuid, subject text, source text, type text, force text,
    data bytea
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT e.version, e.time, e.id, e.causation_id, e.subject, e.source, e.type, e.force, e.data
        FROM audit_event AS e
        WHERE e.subject = ANY (
            ARRAY[of_contact] || ARRAY (SELECT l.incident FROM audit_link AS l WHERE l.contact = of_contact)
        )
        ORDER BY e.time
        LIMIT most;
END
$$;

-- An incident's events in order, and with the first of them its key, and which contact in the holder's hands it is read for: one that
-- led to it, or the one that he names. Nothing, where it is not in the scope.
CREATE FUNCTION incident_in_scope(forces text[], holder text, wanted uuid, read_for text)
RETURNS TABLE (told event, key bytea, in_hand text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT e, CASE WHEN e.version = 1 THEN stream_key(wanted::text) END,
        CASE WHEN e.version = 1 THEN (
            SELECT a.contact FROM contact_access AS a
            WHERE a.contact = ANY (array_append(ARRAY(SELECT c.id::text FROM contact AS c WHERE c.incident = wanted), read_for))
              AND a.why = 'in-hands' AND a.ended_at IS NULL AND a.holder = (SELECT scope_holder())
            ORDER BY a.contact IS NOT DISTINCT FROM read_for LIMIT 1
        ) END
        FROM event AS e
        WHERE e.subject = wanted::text
        ORDER BY e.version;
END
$$;

-- A page of who looked at data of the scope's forces, newest first: at one thing, by one reader, or all (accesses.py).
CREATE FUNCTION accesses_in_scope(
    forces text[], holder text, of_thing text, of_reader text, since timestamptz,
    before_at timestamptz, before_id uuid, before_force text, most int
) RETURNS TABLE (
    id uuid, force text, at timestamptz, reader text, roles text[], home_force text, act text, operation text, kind text,
    ids text[], searched_by text[], recipient text, in_hand text, purpose text, break_glass text, source text, words text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT e.id, e.force, e.at, e.reader, e.roles, e.home_force, e.act, e.operation, e.kind, e.ids, e.searched_by,
               e.recipient, e.in_hand, e.purpose, e.break_glass, e.source, w.said
        FROM (
            -- One of the three: what the others ask for is not so, which is seen before they are begun.
            (SELECT t.at, t.id, t.force FROM access_thing AS t
             WHERE of_thing IS NOT NULL AND t.thing = of_thing AND (of_reader IS NULL OR t.reader = of_reader)
               AND t.at >= since AND (t.at, t.id, t.force) < (before_at, before_id, before_force)
             ORDER BY t.at DESC, t.id DESC, t.force DESC LIMIT most)
            UNION ALL
            (SELECT r.at, r.id, r.force FROM access_entry AS r
             WHERE of_thing IS NULL AND of_reader IS NOT NULL AND r.reader = of_reader
               AND r.at >= since AND (r.at, r.id, r.force) < (before_at, before_id, before_force)
             ORDER BY r.at DESC, r.id DESC, r.force DESC LIMIT most)
            UNION ALL
            (SELECT a.at, a.id, a.force FROM access_entry AS a
             WHERE of_thing IS NULL AND of_reader IS NULL
               AND a.at >= since AND (a.at, a.id, a.force) < (before_at, before_id, before_force)
             ORDER BY a.at DESC, a.id DESC, a.force DESC LIMIT most)
        ) AS k JOIN access_entry AS e ON e.id = k.id AND e.force = k.force
        LEFT JOIN access_words AS w ON w.id = k.id AND w.force = k.force
        ORDER BY k.at DESC, k.id DESC, k.force DESC;
END
$$;

-- What was opened by break-glass in data of the scope's forces and is still to be reviewed, what is due first first; or
-- the one asked for, reviewed or not.
CREATE FUNCTION break_glass_in_scope(
    forces text[], holder text, after_due timestamptz, after_id uuid, after_force text, wanted uuid, most int
) RETURNS TABLE (
    id uuid, force text, at timestamptz, reader text, roles text[], home_force text, act text, operation text, kind text,
    ids text[], searched_by text[], recipient text, in_hand text, purpose text, break_glass text, source text, words text,
    due_at timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT e.id, e.force, e.at, e.reader, e.roles, e.home_force, e.act, e.operation, e.kind, e.ids, e.searched_by,
               e.recipient, e.in_hand, e.purpose, e.break_glass, e.source, w.said, g.due_at
        FROM break_glass AS g JOIN access_entry AS e ON e.id = g.id AND e.force = g.force
        LEFT JOIN access_words AS w ON w.id = g.id AND w.force = g.force
        WHERE (g.reviewed_at IS NULL OR g.id = wanted) AND (wanted IS NULL OR g.id = wanted)
          AND (g.due_at, g.id, g.force) > (after_due, after_id, after_force)
        ORDER BY g.due_at, g.id, g.force
        LIMIT most;
END
$$;
