-- Times are microseconds since 1970, UTC. JSON is compact, with sorted keys.

CREATE TABLE incident (
    id TEXT PRIMARY KEY,
    group_labels TEXT NOT NULL,
    episode INTEGER NOT NULL,
    open INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    resolved_at INTEGER,
    version INTEGER NOT NULL,
    receiver TEXT NOT NULL,
    external_url TEXT NOT NULL,
    truncated_alerts INTEGER NOT NULL,
    due_at INTEGER  -- when the reconciler should look at it; NULL: not until it changes
) STRICT;

CREATE INDEX incident_due ON incident (priority, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX incident_open ON incident (priority, opened_at) WHERE open = 1;
CREATE INDEX incident_closed ON incident (resolved_at) WHERE open = 0;

CREATE TABLE alert (
    incident_id TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('firing', 'resolved', 'moved')),
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER,
    generator_url TEXT NOT NULL,
    held_until INTEGER,
    episode INTEGER NOT NULL,
    moved_to TEXT,
    PRIMARY KEY (incident_id, fingerprint)
) STRICT;

-- Finds the incident that an alert leaves when it turns up in another one.
CREATE INDEX alert_firing ON alert (fingerprint) WHERE status = 'firing';

CREATE TABLE episode (
    incident_id TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    resolved_at INTEGER,
    priority INTEGER NOT NULL,
    PRIMARY KEY (incident_id, number)
) STRICT;

CREATE INDEX episode_closed ON episode (resolved_at) WHERE resolved_at IS NOT NULL;

CREATE TABLE delivery (
    incident_id TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    since_episode INTEGER NOT NULL,
    shown TEXT,
    shown_at INTEGER,
    intent TEXT,
    dead TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT NOT NULL DEFAULT '',
    shows_open INTEGER GENERATED ALWAYS AS (
        coalesce(json_array_length(shown, '$.firing'), 0) > 0
    ) VIRTUAL,
    may_show_open INTEGER GENERATED ALWAYS AS (
        coalesce(json_array_length(shown, '$.firing'), 0) > 0 OR coalesce(json_array_length(intent, '$.firing'), 0) > 0
    ) VIRTUAL,
    PRIMARY KEY (incident_id, destination)
) STRICT;

CREATE INDEX delivery_may_show_open ON delivery (destination) WHERE may_show_open = 1;

CREATE TABLE body (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,  -- blake2b of what arrived
    compressed BLOB NOT NULL      -- zlib
) STRICT;

CREATE TABLE notification (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    body_id INTEGER NOT NULL REFERENCES body (id)
) STRICT;

CREATE INDEX notification_body ON notification (body_id);

CREATE TABLE source (
    key TEXT PRIMARY KEY,
    last_heard INTEGER NOT NULL
) STRICT;

CREATE TABLE destination (
    name TEXT PRIMARY KEY,
    since INTEGER NOT NULL
) STRICT;

-- One row of running totals, so that nothing has to count gigabytes, and a place for an empty commit to write to.
CREATE TABLE tally (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    notifications INTEGER NOT NULL,
    notifications_bytes INTEGER NOT NULL,
    probes INTEGER NOT NULL
) STRICT;

INSERT INTO tally (only, notifications, notifications_bytes, probes) VALUES (1, 0, 0, 0);
