-- The alerts of an incident are always read and written together, and nearly every message changes what some of them
-- say of themselves: one row for all of them. Beside it is only what is looked up: where an alert fires.

CREATE TABLE incident_alerts (
    incident_id TEXT PRIMARY KEY REFERENCES incident (id) ON DELETE CASCADE,
    alerts TEXT NOT NULL  -- a JSON list; what has its default is left out, times are RFC 3339
) STRICT;

CREATE TABLE firing (
    incident_id TEXT NOT NULL REFERENCES incident (id) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (incident_id, fingerprint)
) STRICT, WITHOUT ROWID;

-- Finds the incident that an alert leaves when it turns up in another one.
CREATE INDEX firing_fingerprint ON firing (fingerprint);

CREATE TEMP VIEW told AS
SELECT
    alert.*,
    -- A remainder has the sign of what is divided, and years before 1970 are negative.
    (starts_at % 1000000 + 1000000) % 1000000 AS starts_rest,
    (ends_at % 1000000 + 1000000) % 1000000 AS ends_rest,
    (held_until % 1000000 + 1000000) % 1000000 AS held_rest,
    (recovers_at % 1000000 + 1000000) % 1000000 AS recovers_rest
FROM alert;

INSERT INTO incident_alerts (incident_id, alerts)
SELECT
    incident_id,
    json_group_array(json_object(
        'fingerprint', fingerprint,
        'status', status,
        'labels', json(labels),
        'annotations', json(annotations),
        'starts_at', strftime('%Y-%m-%dT%H:%M:%S', (starts_at - starts_rest) / 1000000, 'unixepoch')
            || printf('.%06dZ', starts_rest),
        'ends_at', strftime('%Y-%m-%dT%H:%M:%S', (ends_at - ends_rest) / 1000000, 'unixepoch')
            || printf('.%06dZ', ends_rest),
        'generator_url', generator_url,
        'held_until', strftime('%Y-%m-%dT%H:%M:%S', (held_until - held_rest) / 1000000, 'unixepoch')
            || printf('.%06dZ', held_rest),
        'episode', episode,
        'moved_to', moved_to,
        'recovers_at', strftime('%Y-%m-%dT%H:%M:%S', (recovers_at - recovers_rest) / 1000000, 'unixepoch')
            || printf('.%06dZ', recovers_rest),
        'muted', json(muted)
    ))
FROM told
GROUP BY incident_id;

INSERT INTO firing (incident_id, fingerprint)
SELECT incident_id, fingerprint FROM alert WHERE status = 'firing';

DROP VIEW told;
DROP TABLE alert;
