-- Since when a destination should show what it has no receipt for: how long a P1 waits before it fails over.

ALTER TABLE delivery ADD COLUMN owed_since INTEGER;
