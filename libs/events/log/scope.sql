-- Whose contacts a caller may see, kept by PostgreSQL: for every service that shows contacts, beside schema.sql.
--
-- Invariants
--   * What a caller reads, and what a command of his is decided on, is read under his scope: two settings of the
--     transaction. Without them nothing is visible.
--   * Who may see a contact now may see all of it, what was said before too; whose access ended sees nothing more.
--   * Access is given and ended in the transaction that says why, and no row of it is ever removed.
--
-- Row-level security is forced: views and functions of the owner's show nothing rather than everything, should one forget
-- whose rights count. The owner's own policies are what append() and keep_access() need.

-- Who may see a contact; in recording an incident, too.
CREATE TABLE contact_access (
    contact  text        NOT NULL,  -- the subject of its streams
    force    text,                  -- a force, '' the alliance itself; or
    holder   text,                  -- one gateway or person, by the token's subject
    why      text        NOT NULL CHECK (
        why IN ('owning', 'presented', 'answering', 'involved', 'alliance', 'brought', 'leg', 'in-hands')
    ),
    since    timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CHECK ((force IS NULL) <> (holder IS NULL)),
    CHECK (holder <> '')
);
-- Asked by every policy, of one contact at a time; and no access is given twice.
CREATE UNIQUE INDEX contact_access_now ON contact_access (contact, why, force, holder) NULLS NOT DISTINCT
    WHERE ended_at IS NULL;

-- The forces of the scope, '' standing for the alliance's own; null where none was set.
CREATE FUNCTION scope_forces() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('hueandcry.forces', true), '')::text[];

-- The gateway or person of the scope; null where there is none.
CREATE FUNCTION scope_holder() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('hueandcry.holder', true), '');

-- Everything that the transaction reads from the next statement on is read under this scope. Functions in PL/pgSQL
-- call it first and then read: their statements run one after the other, which the parts of one statement do not. So a
-- scoped read is one round trip.
CREATE FUNCTION set_scope(forces text[], holder text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('hueandcry.forces', forces::text, true), set_config('hueandcry.holder', coalesce(holder, ''), true);
END
$$;

-- In parentheses with SELECT a setting is read once a statement, not once a row. LIMIT 1, not EXISTS, which the planner
-- may answer by reading all of contact_access once (seen while it was not analysed: 20 times as slow). Policies for
-- callers are called
-- `scoped`; libs/service/migrate.py says to whom they apply.
ALTER TABLE contact_access ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON contact_access FOR SELECT USING (
    ended_at IS NULL AND (force = ANY ((SELECT scope_forces())::text[]) OR holder = (SELECT scope_holder()))
);
CREATE POLICY kept ON contact_access TO CURRENT_USER USING (true) WITH CHECK (true);

CREATE POLICY scoped ON event FOR SELECT USING (
    (SELECT true FROM contact_access AS a WHERE a.contact = event.subject LIMIT 1)
);

-- From now on these, and nobody else, may see the contacts for the reasons given. `contacts` and `reasons` say what is
-- spoken of; the other arrays are the rows that hold now, some of which may have held before.
CREATE FUNCTION keep_access(
    contacts text[], reasons text[], of_contacts text[], forces text[], holders text[], whys text[]
) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    UPDATE contact_access AS a SET ended_at = now()
    WHERE a.contact = ANY (contacts) AND a.why = ANY (reasons) AND a.ended_at IS NULL
      AND (a.contact, a.why, coalesce(a.force, ''), coalesce(a.holder, '')) NOT IN (
          SELECT w.contact, w.why, coalesce(w.force, ''), coalesce(w.holder, '')
          FROM unnest(of_contacts, whys, forces, holders) AS w (contact, why, force, holder)
      );
    INSERT INTO contact_access (contact, force, holder, why)
    SELECT * FROM unnest(of_contacts, forces, holders, whys) ORDER BY 1
    ON CONFLICT DO NOTHING;
END
$$;

-- A stream in order, and with the first of its events its key; nothing of one that is not in the scope, as if there were
-- none.
CREATE FUNCTION stream_in_scope(forces text[], holder text, of_subject text) RETURNS TABLE (told event, key bytea)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT e, CASE WHEN e.version = 1 THEN (SELECT s.key FROM stream AS s WHERE s.subject = of_subject) END
        FROM event AS e WHERE e.subject = of_subject ORDER BY e.version;
END
$$;
