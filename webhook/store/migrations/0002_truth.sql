-- What resync finds out, and what a delivery has to remember of the far end.

ALTER TABLE incident ADD COLUMN reconciled INTEGER NOT NULL DEFAULT 0;
-- Starts of the episodes of the last hour or so, as a JSON list.
ALTER TABLE incident ADD COLUMN openings TEXT NOT NULL DEFAULT '[]';

ALTER TABLE alert ADD COLUMN recovers_at INTEGER;
ALTER TABLE alert ADD COLUMN muted TEXT;

ALTER TABLE delivery ADD COLUMN reference TEXT NOT NULL DEFAULT '';
ALTER TABLE delivery ADD COLUMN dead_at INTEGER;
