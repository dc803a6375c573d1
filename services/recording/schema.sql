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
