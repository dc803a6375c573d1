-- The directory has no tables but those of its event store (libs/events/log/schema.sql): what an alliance is fits into
-- memory, and is read from the events at start.
COMMENT ON TABLE event IS 'What an alliance is, and was: read whole at start, then followed by position.';

-- What an alliance is, every caller may know.
CREATE POLICY scoped ON event FOR SELECT USING (true);
