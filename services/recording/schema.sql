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

-- A web report that came before its routing: the received event's data as it came, until its incident is opened.
CREATE TABLE report (
    contact  uuid PRIMARY KEY,
    received bytea NOT NULL
);
