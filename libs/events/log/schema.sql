-- The event store of one service, and what its readers must remember. PostgreSQL 17 or later (transaction_timeout).
--
-- Invariants
--   * An event is written by append() alone, never changed and never removed.
--   * Positions become visible in order: append() draws them under the database's one order lock, which is held until
--     the transaction ends. So `position > last` misses nothing.
--   * Versions of a stream run 1, 2, 3, … without a gap.
--   * A stream's key, once destroyed, is never replaced.

-- One row a stream: its latest version, which append() claims, and its key (keyring.py), wrapped by a master key.
CREATE TABLE stream (
    subject     text PRIMARY KEY,
    version     bigint  NOT NULL,                -- 0: nothing was said, and its key is refused for ever
    key_version bigint,                          -- the event that needs the key, or destroyed it: the relay sends it first
    resend      boolean NOT NULL DEFAULT false,  -- the key is to be sent again: it was rewrapped, or Kafka has another
    key         bytea                            -- null: none yet; empty: destroyed
) WITH (fillfactor = 80);  -- room to update a version in place
CREATE INDEX stream_to_resend ON stream (subject) WHERE resend;  -- the relay, once a second

-- Whose keys are refused for ever, by which key of whatever stream of this subject.
CREATE TABLE erased (
    subject   text PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);

CREATE SEQUENCE event_position;

CREATE TABLE event (
    position     bigint      PRIMARY KEY,  -- the relay and followers read `position > last`
    version      bigint      NOT NULL,
    time         timestamptz NOT NULL,
    id           uuid        NOT NULL,
    causation_id uuid,
    subject      text        NOT NULL,
    type         text        NOT NULL,
    force        text,
    traceparent  text,
    data         bytea       NOT NULL,
    UNIQUE (subject, version)              -- a stream is read in order; an unknown commit is looked up by it
);

-- A name only one append may ever take: an idempotency key, a short reference. Kept with the append's own transaction.
CREATE TABLE claim (
    key         text        PRIMARY KEY,
    subject     text        NOT NULL,
    fingerprint bytea       NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT now()
);

-- Append to any number of streams, one append a stream. Call it once, last in the transaction.
--
-- Promises, for append i (1-based): all of its events and claims are written, or none. With the key that is given for it:
-- null: nothing; empty: the stream's is destroyed; else it is the stream's from now on, and a stream that has one is taken
-- for moved on.
-- Returns one outcome an append: 0 appended, 1 its stream is not at the expected version, 2 one of its claims is taken.
-- Raises program_limit_exceeded (54000) where an event is too large; nothing is written then.
--
-- The order of locks is the same in every transaction: claims by key, then existing streams by subject, then new ones
-- by subject, then the order lock. So appends wait for each other, and never in a circle.
CREATE FUNCTION append(
    subjects text[], expected bigint[], counts int[],                        -- one an append
    claim_appends int[], claim_subjects text[],                              -- one a claim; the append's index
    claim_keys text[], claim_fingerprints bytea[],
    event_appends int[], event_subjects text[], versions bigint[],           -- one an event, in order; the append's index
    ids uuid[], types text[], times timestamptz[], forces text[],
    causation_ids uuid[], traceparents text[], data bytea[],
    access_appends int[] DEFAULT '{}', access_contacts text[] DEFAULT '{}',  -- one an access; the append's index
    access_forces text[] DEFAULT '{}', access_holders text[] DEFAULT '{}', access_whys text[] DEFAULT '{}',
    keys bytea[] DEFAULT '{}'                                                -- one an append, or none at all
) RETURNS smallint[]
LANGUAGE plpgsql
-- As the tables' owner: who may call it may append, and do nothing else to events, streams and claims. `pg_temp` is last,
-- so that nobody puts a table of his own in their place.
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
-- A plan made while the tables were small must serve when they hold ten million rows.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    n              int := cardinality(subjects);
    outcomes       smallint[] := array_fill(0::smallint, ARRAY[n]);
    taken_keys     text[];
    taken_subjects text[];
    won            text[];
    begun          int := 0;  -- streams that are new, where none of those said to be was there
BEGIN
    -- All together are seldom as large as one may be; then nobody looks at each.
    IF pg_column_size(append.data) > 512 * 1024 - 1024
        AND EXISTS (SELECT FROM unnest(append.data) AS d WHERE octet_length(d) > 512 * 1024 - 1024)
    THEN
        RAISE EXCEPTION 'an event is larger than 512 KiB on the wire' USING ERRCODE = 'program_limit_exceeded';
    END IF;

    IF cardinality(claim_keys) > 0 THEN
        WITH taken AS (
            INSERT INTO claim (key, subject, fingerprint)
            SELECT c.key, c.subject, c.fingerprint
            FROM unnest(claim_subjects, claim_keys, claim_fingerprints) AS c (subject, key, fingerprint)
            ORDER BY c.key
            ON CONFLICT DO NOTHING
            RETURNING key, subject
        )
        SELECT array_agg(key), array_agg(subject) INTO taken_keys, taken_subjects FROM taken;

        IF coalesce(cardinality(taken_keys), 0) < cardinality(claim_keys) THEN
            WITH losers AS (
                SELECT DISTINCT c.append
                FROM unnest(claim_appends, claim_subjects, claim_keys) AS c (append, subject, key)
                WHERE NOT EXISTS (
                    SELECT FROM unnest(taken_keys, taken_subjects) AS t (key, subject)
                    WHERE t.key = c.key AND t.subject = c.subject
                )
            )
            SELECT array_agg(CASE WHEN l.append IS NULL THEN 0 ELSE 2 END ORDER BY i)::smallint[] INTO outcomes
            FROM generate_series(1, n) AS i LEFT JOIN losers AS l ON l.append = i;
        END IF;
    END IF;

    IF 0 < ANY (append.expected) THEN
        WITH wanted AS MATERIALIZED (
            SELECT w.subject, w.expected, w.count, w.key
            FROM unnest(subjects, append.expected, counts, outcomes, keys) AS w (subject, expected, count, outcome, key)
            WHERE w.expected > 0 AND w.outcome = 0
        ), locked AS MATERIALIZED (
            SELECT s.subject, w.count, w.key
            FROM stream AS s JOIN wanted AS w ON w.subject = s.subject AND w.expected = s.version
                 AND (w.key IS NULL OR w.key = '' OR s.key IS NULL)
            ORDER BY s.subject
            FOR NO KEY UPDATE OF s
        ), moved AS (
            UPDATE stream AS s SET
                version = s.version + l.count,
                key_version = CASE WHEN l.key IS NULL THEN s.key_version ELSE s.version + 1 END,
                key = coalesce(l.key, s.key)
            FROM locked AS l WHERE s.subject = l.subject
            RETURNING s.subject
        )
        SELECT array_agg(subject) INTO won FROM moved;
    END IF;

    IF 0 = ANY (append.expected) THEN
        BEGIN
            -- As a rule none of them is there; to ask for each first would take as long as to insert it. Unnested in the
            -- select list: in FROM, each column would first be written into a table of its own.
            INSERT INTO stream (subject, version, key_version, key)
            SELECT w.subject, w.count, CASE WHEN w.key IS NOT NULL THEN 1 END, w.key
            FROM (
                SELECT unnest(subjects) AS subject, unnest(append.expected) AS expected, unnest(counts) AS count,
                    unnest(outcomes) AS outcome, unnest(keys) AS key
            ) AS w
            WHERE w.expected = 0 AND w.outcome = 0
            ORDER BY w.subject;
            GET DIAGNOSTICS begun = ROW_COUNT;
        EXCEPTION WHEN unique_violation THEN
            WITH made AS (
                INSERT INTO stream AS s (subject, version, key_version, key)
                SELECT w.subject, w.count, CASE WHEN w.key IS NOT NULL THEN 1 END, w.key
                FROM unnest(subjects, append.expected, counts, outcomes, keys)
                     AS w (subject, expected, count, outcome, key)
                WHERE w.expected = 0 AND w.outcome = 0
                ORDER BY w.subject
                -- One whose key was refused before it began: it may begin without one.
                ON CONFLICT (subject) DO UPDATE SET version = excluded.version
                WHERE s.version = 0 AND coalesce(excluded.key, '') = ''
                RETURNING subject
            )
            SELECT won || array_agg(subject) INTO won FROM made;
        END;
    END IF;

    IF coalesce(cardinality(won), 0) + begun < n THEN
        SELECT array_agg(CASE
            WHEN o.outcome <> 0 THEN o.outcome
            WHEN o.subject = ANY (won) OR (begun > 0 AND o.expected = 0) THEN 0
            ELSE 1
        END ORDER BY i)
        INTO outcomes
        FROM unnest(subjects, append.expected, outcomes) WITH ORDINALITY AS o (subject, expected, outcome, i);
        -- What a loser had claimed in this very call is free again. A claim that stood before is not ours to free:
        -- it was inserted by another transaction.
        DELETE FROM claim
        USING unnest(claim_appends, claim_subjects, claim_keys) AS c (append, subject, key)
        WHERE claim.key = c.key AND claim.subject = c.subject AND outcomes[c.append] <> 0
          AND claim.xmin = pg_current_xact_id()::xid;
    END IF;

    -- Who may see what is new (scope.sql). Neither a force nor a holder: the alliance.
    IF cardinality(access_appends) > 0 THEN
        INSERT INTO contact_access (contact, force, holder, why)
        SELECT a.contact, coalesce(a.force, CASE WHEN a.holder IS NULL THEN '' END), a.holder, a.why
        FROM unnest(access_appends, access_contacts, access_forces, access_holders, access_whys)
             AS a (append, contact, force, holder, why)
        WHERE outcomes[a.append] = 0;
    END IF;

    PERFORM pg_advisory_xact_lock(1285);  -- the order lock, until this transaction ends

    INSERT INTO event (position, version, time, id, causation_id, subject, type, force, traceparent, data)
    SELECT nextval('event_position'), e.version, e.time, e.id, e.causation_id, e.subject, e.type, e.force, e.traceparent, e.data
    FROM (
        SELECT unnest(event_appends) AS append, unnest(event_subjects) AS subject, unnest(versions) AS version,
            unnest(ids) AS id, unnest(types) AS type, unnest(times) AS time, unnest(forces) AS force,
            unnest(causation_ids) AS causation_id, unnest(traceparents) AS traceparent, unnest(append.data) AS data
    ) AS e
    WHERE outcomes[e.append] = 0;

    RETURN outcomes;
END
$$;

-- Who may read events is said by policies (scope.sql); the owner, as whom append() runs, may add them.
ALTER TABLE event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY appended ON event FOR INSERT TO CURRENT_USER WITH CHECK (true);
CREATE POLICY looked_for ON event FOR SELECT TO CURRENT_USER
    USING (id = nullif(current_setting('hueandcry.looked_for', true), '')::uuid);

-- Whether this event took this version of its stream. Who appends may ask it, though he has no scope: after a commit of
-- which he does not know what became, he must not do it twice. He is told nothing that he did not say himself.
CREATE FUNCTION is_appended(of_subject text, of_version bigint, of_id uuid) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM set_config('hueandcry.looked_for', of_id::text, true);
    RETURN EXISTS (SELECT FROM event WHERE subject = of_subject AND version = of_version AND id = of_id);
END
$$;

-- Who may read a stream's events may have its key.
ALTER TABLE stream ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY scoped ON stream FOR SELECT USING (
    (SELECT true FROM event AS e WHERE e.subject = stream.subject LIMIT 1)
);
CREATE POLICY kept ON stream TO CURRENT_USER USING (true) WITH CHECK (true);

-- Whether a key of this subject would be refused: all that callers' parts learn of `erased`.
CREATE FUNCTION key_refused(of_subject text) RETURNS boolean LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
RETURN EXISTS (SELECT FROM erased AS e WHERE e.subject = of_subject);

-- A stream's key: null where it has none yet, empty where it is destroyed, or would be refused.
CREATE FUNCTION stream_key(of_subject text) RETURNS bytea LANGUAGE sql STABLE
RETURN coalesce(
    (SELECT s.key FROM stream AS s WHERE s.subject = of_subject),
    CASE WHEN key_refused(of_subject) THEN ''::bytea END
);

-- How far the relay has published. One row.
CREATE TABLE relay (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    position bigint  NOT NULL DEFAULT 0
);
INSERT INTO relay DEFAULT VALUES;

-- Shared readers ---------------------------------------------------------------------------------------------------

-- How far a reader has come. Moves in the transaction that applies the batch, and only from where the reader thought it
-- was: a copy that lost the partition and does not know it yet cannot apply anything.
CREATE TABLE checkpoint (
    reader      text   NOT NULL,
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    topic_id    uuid   NOT NULL,  -- another id: the topic was made anew, offsets mean nothing
    next_offset bigint NOT NULL,
    PRIMARY KEY (reader, topic, partition)
);

-- A stream as a reader knows it: the version it has applied.
CREATE TABLE reader_stream (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version bigint  NOT NULL DEFAULT 0,
    holding boolean NOT NULL DEFAULT false,  -- it has rows in `held`
    reader  text    NOT NULL,
    source  text    NOT NULL,
    subject text    NOT NULL,
    UNIQUE (reader, subject, source)         -- found by what a message carries; by subject for a replay
) WITH (fillfactor = 80);

-- Every event a reader has applied: the same id again is a duplicate, another id under the same version a fork.
CREATE TABLE inbox (
    stream  bigint NOT NULL,
    version bigint NOT NULL,
    id      uuid   NOT NULL,
    PRIMARY KEY (stream, version)
);

-- Events a reader has taken from Kafka and not applied: a version before it is missing (`gap`), it could not be applied
-- (`parked`), or it stands behind a parked one (`behind`).
CREATE TABLE held (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reader           text        NOT NULL,
    stream           bigint      NOT NULL,
    version          bigint      NOT NULL,
    why              text        NOT NULL CHECK (why IN ('gap', 'parked', 'behind')),
    error            text,
    attempts         int         NOT NULL DEFAULT 0,
    held_at          timestamptz NOT NULL DEFAULT now(),
    replay_at        timestamptz,  -- somebody asked for another try
    dead_lettered_at timestamptz,
    topic            text        NOT NULL,
    partition        int         NOT NULL,
    "offset"         bigint      NOT NULL,
    key              bytea,
    value            bytea,
    header_names     text[]      NOT NULL,
    header_values    bytea[]     NOT NULL,
    UNIQUE (stream, version)       -- a stream's held events in order; a duplicate is not held twice
);
CREATE INDEX held_by_reader ON held (reader, why);  -- what a reader must look at: gaps too old, replays, dead letters

-- Keys of others' streams, as they came on hueandcry.keys (key_copies.py): what this service opens events with.
CREATE TABLE key_copy (
    source  text  NOT NULL,
    subject text  NOT NULL,
    key     bytea NOT NULL,         -- wrapped
    PRIMARY KEY (subject, source)   -- looked up for each event; by subject when it is erased
);

-- The keys of these streams, a row each, of one's own from where they were made: null, where it is not here. Until the transaction ends nobody erases one of them:
-- what is made of what they open is on disk before it is blanked.
CREATE FUNCTION copied_keys(sources text[], subjects text[], own_source text)
RETURNS TABLE (source text, subject text, key bytea, refused boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1287);
    RETURN QUERY
        SELECT w.source, w.subject, coalesce(k.key, s.key), e.subject IS NOT NULL
        FROM unnest(sources, subjects) AS w (source, subject)
        LEFT JOIN key_copy AS k ON k.subject = w.subject AND k.source = w.source
        LEFT JOIN stream AS s ON s.subject = w.subject AND w.source = own_source
        LEFT JOIN erased AS e ON e.subject = w.subject;
END
$$;

-- What was read from hueandcry.keys, and how far. An empty key: it was destroyed. `own_` is what the topic says of this
-- service's streams: where they have another, it is sent again.
CREATE FUNCTION keep_keys(
    of_reader text, of_topic text, partitions int[], befores bigint[], afters bigint[],
    sources text[], subjects text[], keys bytea[], own_subjects text[], own_keys bytea[]
) RETURNS void
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    moved int;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(1287);
    UPDATE checkpoint AS c SET next_offset = m.after
    FROM unnest(partitions, befores, afters) AS m (partition, before, after)
    WHERE (c.reader, c.topic, c.partition, c.next_offset) = (of_reader, of_topic, m.partition, m.before);
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < cardinality(partitions) THEN
        RAISE EXCEPTION 'another copy has written these keys' USING ERRCODE = 'serialization_failure';
    END IF;
    INSERT INTO key_copy AS k (source, subject, key)
    SELECT w.source, w.subject, w.key FROM unnest(sources, subjects, keys) AS w (source, subject, key)
    WHERE w.key <> '' AND NOT EXISTS (SELECT FROM erased AS e WHERE e.subject = w.subject)
    ORDER BY w.subject, w.source
    ON CONFLICT (subject, source) DO UPDATE SET key = excluded.key WHERE k.key <> excluded.key;
    DELETE FROM key_copy AS k USING unnest(sources, subjects, keys) AS w (source, subject, key)
    WHERE w.key = '' AND k.subject = w.subject AND k.source = w.source;
    UPDATE stream AS s SET resend = true
    FROM unnest(own_subjects, own_keys) AS o (subject, key)
    WHERE s.subject = o.subject AND NOT s.resend AND s.key <> o.key;
END
$$;

-- Refuse every key of this subject for ever, whatever hueandcry.keys still says: this service's own is destroyed, its
-- copies are gone, none is taken or made again.
CREATE FUNCTION refuse_key(of_subject text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1287);
    INSERT INTO erased (subject) VALUES (of_subject) ON CONFLICT DO NOTHING;
    DELETE FROM key_copy WHERE subject = of_subject;
    -- Also where nothing was said yet: who is just about to make a key waits here, and then finds it refused.
    INSERT INTO stream AS s (subject, version, key) VALUES (of_subject, 0, '')
    ON CONFLICT (subject) DO UPDATE SET key = '', resend = s.key_version IS NOT NULL WHERE s.key IS DISTINCT FROM '';
END
$$;

-- Projections ------------------------------------------------------------------------------------------------------

-- A read model's generations: one is live, one may be building beside it. Each is a reader `<name>.<generation>` with
-- tables in a schema `<name>_<generation>`.
CREATE TABLE projection (
    name       text        NOT NULL,
    generation int         NOT NULL,
    version    int         NOT NULL,  -- of its definition
    state      text        NOT NULL CHECK (state IN ('building', 'live')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, generation)
);
CREATE UNIQUE INDEX projection_one_live ON projection (name) WHERE state = 'live';
