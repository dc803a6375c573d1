-- The directory has no tables but those of its event store (libs/events/log/schema.sql): what an alliance is fits into
-- memory, and is read from the events at start.
COMMENT ON TABLE event IS 'What an alliance is, and was: read whole at start, then followed by position.';

-- The scope of what a caller reads and decides on, as in libs/events/log/scope.sql, whose table of contacts is not needed
-- here.
CREATE FUNCTION scope_forces() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('hueandcry.forces', true), '')::text[];

CREATE FUNCTION set_scope(forces text[], holder text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('hueandcry.forces', forces::text, true), set_config('hueandcry.holder', coalesce(holder, ''), true);
END
$$;

-- What an alliance is, every caller may know; a force's policies, who may see that force's.
CREATE POLICY scoped ON event FOR SELECT USING (
    subject NOT LIKE 'policy/%' OR coalesce(force, '') = ANY ((SELECT scope_forces())::text[])
);

-- policies_in_scope(): the policies, without the rest of the log.
CREATE INDEX event_of_policy ON event (subject, version) WHERE subject LIKE 'policy/%';

-- Each policy of the scope as it stood at a moment (null: now): the latest that was said of it by then.
CREATE FUNCTION policies_in_scope(forces text[], holder text, moment timestamptz) RETURNS SETOF event
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_scope(forces, holder);
    RETURN QUERY
        SELECT DISTINCT ON (e.subject) e.* FROM event AS e
        WHERE e.subject LIKE 'policy/%' AND e.time <= coalesce(moment, 'infinity')
        ORDER BY e.subject, e.version DESC;
END
$$;
