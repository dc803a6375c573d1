-- One append of one event to a new stream, with the rows and indexes that append() writes: the stream's row, the event's
-- with its position. One transaction, one statement, one round trip, prepared: the fastest of the ways tried (with BEGIN,
-- two INSERTs and COMMIT it is slower). The version is checked by the stream's primary key. There is no order lock, so
-- readers could not rely on `position > last`: the peer promises less than ours.
WITH made AS (
    INSERT INTO stream (subject, version) VALUES (uuidv7()::text, 1) RETURNING subject, version
)
INSERT INTO event (position, version, time, id, causation_id, subject, type, force, traceparent, data)
SELECT nextval('event_position'), version, clock_timestamp(), uuidv7(), NULL, subject, :type, :force, :traceparent, :data::bytea
FROM made;
