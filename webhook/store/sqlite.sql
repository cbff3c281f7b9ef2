-- name: known_incidents
SELECT
    id, group_labels, episode, open, priority, opened_at, changed_at, resolved_at, version, receiver,
    external_url, truncated_alerts, reconciled, openings, alerts
FROM incident
LEFT JOIN incident_alerts ON incident_id = id
WHERE id IN (SELECT value FROM json_each(?))

-- name: priorities
SELECT id, priority FROM incident WHERE id IN (SELECT value FROM json_each(?))

-- name: firing_elsewhere
-- One row, because each row fetched hands the interpreter's lock to and fro.
SELECT json_group_array(json_array(fingerprint, incident_id))
FROM firing
WHERE fingerprint IN (SELECT value FROM json_each(?))

-- name: standing
-- Incidents with alerts that fire or are held, a page at a time, without what this service raised itself.
SELECT id, receiver, alerts
FROM incident
JOIN incident_alerts ON incident_id = id
WHERE id > :after
AND receiver != :own
AND EXISTS (SELECT 1 FROM firing WHERE firing.incident_id = id)
ORDER BY id
LIMIT :limit

-- name: held
-- With the quote of a value: what was a row up to schema 4 says null.
SELECT incident_id, alerts FROM incident_alerts WHERE instr(alerts, '"held_until":"')

-- name: partial
SELECT id FROM incident WHERE open = 1 AND truncated_alerts > 0

-- name: receivers
SELECT DISTINCT receiver FROM incident WHERE open = 1 OR resolved_at > ?

-- name: save_incident
INSERT INTO incident (
    id, group_labels, episode, open, priority, opened_at, changed_at, resolved_at, version, receiver,
    external_url, truncated_alerts, due_at, reconciled, openings
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    episode = excluded.episode,
    open = excluded.open,
    priority = excluded.priority,
    opened_at = excluded.opened_at,
    changed_at = excluded.changed_at,
    resolved_at = excluded.resolved_at,
    version = excluded.version,
    receiver = excluded.receiver,
    external_url = excluded.external_url,
    truncated_alerts = excluded.truncated_alerts,
    reconciled = excluded.reconciled,
    openings = excluded.openings,
    due_at = iif(excluded.version = incident.version, incident.due_at, excluded.due_at)

-- name: save_alerts
INSERT INTO incident_alerts (incident_id, alerts)
VALUES (?, ?)
ON CONFLICT (incident_id) DO UPDATE SET alerts = excluded.alerts

-- name: save_firing
INSERT INTO firing (incident_id, fingerprint)
VALUES (?, ?)

-- name: drop_firing
DELETE FROM firing WHERE incident_id = ? AND fingerprint = ?

-- name: save_episode
INSERT INTO episode (incident_id, number, opened_at, resolved_at, priority)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (incident_id, number) DO UPDATE SET
    resolved_at = excluded.resolved_at,
    priority = excluded.priority

-- name: last_body
SELECT coalesce(max(id), 0) FROM body

-- name: save_body
INSERT INTO body (id, compressed)
VALUES (?, ?)

-- name: save_notification
INSERT INTO notification (received_at, body_id, start, bytes)
VALUES (?, ?, ?, ?)

-- name: save_source
INSERT INTO source (key, last_heard)
VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET last_heard = max(last_heard, excluded.last_heard)

-- name: add_to_tally
UPDATE tally SET notifications = notifications + ?, notifications_bytes = notifications_bytes + ?

-- name: probe
UPDATE tally SET probes = probes + 1

-- name: due
SELECT id
FROM incident
WHERE due_at IS NOT NULL AND priority IN (1, 2, 3) AND due_at > ? AND due_at <= ?
ORDER BY priority, due_at

-- name: next_due
SELECT min(due_at) FROM (
    SELECT min(due_at) AS due_at FROM incident WHERE due_at IS NOT NULL AND priority = 1 AND due_at > ?1
    UNION ALL
    SELECT min(due_at) FROM incident WHERE due_at IS NOT NULL AND priority = 2 AND due_at > ?1
    UNION ALL
    SELECT min(due_at) FROM incident WHERE due_at IS NOT NULL AND priority = 3 AND due_at > ?1
)

-- name: rest
UPDATE incident SET due_at = ? WHERE id = ? AND version = ?

-- name: wake_open
UPDATE incident SET due_at = ?
WHERE open = 1 OR id IN (SELECT incident_id FROM delivery WHERE may_show_open = 1)

-- name: expect
INSERT INTO delivery (incident_id, destination, since_episode, owed_since)
VALUES (?, ?, ?, ?)
ON CONFLICT (incident_id, destination) DO NOTHING

-- name: owe
UPDATE delivery SET owed_since = ? WHERE incident_id = ? AND destination = ?

-- name: intend
-- What is shown or may be shown there keeps the reference that it has.
INSERT INTO delivery (incident_id, destination, since_episode, intent, reference)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (incident_id, destination) DO UPDATE SET
    intent = excluded.intent,
    reference = iif(reference = '' AND NOT shows_open, excluded.reference, reference)

-- name: settle
UPDATE delivery SET
    shown = ?, shown_at = ?, reference = coalesce(?, reference),
    intent = NULL, dead = NULL, dead_at = NULL, owed_since = NULL, attempts = 0, last_error = ''
WHERE incident_id = ? AND destination = ?

-- name: fail
UPDATE delivery SET
    attempts = attempts + 1, last_error = ?, intent = iif(?, NULL, intent),
    reference = iif(? AND NOT shows_open, '', reference)
WHERE incident_id = ? AND destination = ?

-- name: bury
UPDATE delivery SET
    dead = ?, last_error = ?, dead_at = ?, intent = iif(?, intent, NULL), attempts = attempts + 1,
    reference = iif(? OR shows_open, reference, '')
WHERE incident_id = ? AND destination = ?

-- name: deliveries
SELECT
    incident_id, destination, since_episode, shown, shown_at, intent, dead, attempts, last_error, reference, dead_at,
    owed_since
FROM delivery
WHERE incident_id IN (SELECT value FROM json_each(?))

-- name: dead_ids
SELECT DISTINCT incident_id FROM delivery WHERE dead IS NOT NULL ORDER BY incident_id LIMIT ?

-- name: dead_count
SELECT count(*) FROM delivery WHERE dead IS NOT NULL

-- name: revive
-- `dead_at` stays until the receipt: what is told then was a dead letter.
UPDATE delivery SET dead = NULL WHERE incident_id = ? AND destination = ? AND dead IS NOT NULL

-- name: wake
UPDATE incident SET due_at = ? WHERE id = ?

-- name: shown_open
SELECT destination, incident_id
FROM delivery
WHERE may_show_open = 1 AND destination IN (SELECT value FROM json_each(?))
ORDER BY destination, incident_id

-- name: open_ids
SELECT id FROM incident WHERE open = 1 ORDER BY priority, opened_at, id LIMIT ?

-- name: open_from
SELECT id FROM incident WHERE open = 1 AND receiver = ?

-- name: recent_ids
SELECT id FROM incident
WHERE open = 0 AND resolved_at IS NOT NULL
ORDER BY resolved_at DESC, id LIMIT ?

-- name: episodes
SELECT number, opened_at, resolved_at, priority FROM episode WHERE incident_id = ? ORDER BY number DESC

-- name: sources
SELECT key, last_heard FROM source

-- name: add_destination
INSERT INTO destination (name, since)
VALUES (?, ?)
ON CONFLICT (name) DO NOTHING

-- name: destinations
SELECT name, since FROM destination WHERE name IN (SELECT value FROM json_each(?))

-- name: open_counts
SELECT priority, count(*) FROM incident WHERE open = 1 GROUP BY priority

-- name: tally
SELECT notifications, notifications_bytes FROM tally

-- name: oldest_notifications
SELECT notification.id, notification.received_at, notification.body_id, length(body.compressed)
FROM notification
JOIN body ON body.id = notification.body_id
ORDER BY notification.id
LIMIT ?

-- name: drop_notification
DELETE FROM notification WHERE id = ?

-- name: drop_unused_body
DELETE FROM body WHERE id = :id AND NOT EXISTS (SELECT 1 FROM notification WHERE body_id = :id)

-- name: old_incidents
-- Closed long ago, nothing left to do, and shown as closed (or never shown, or refused for good) everywhere.
SELECT id FROM incident
WHERE open = 0
AND (resolved_at < :before OR (resolved_at IS NULL AND changed_at < :before))
AND due_at IS NULL
AND NOT EXISTS (
    SELECT 1 FROM delivery
    WHERE incident_id = incident.id AND (intent IS NOT NULL OR (shows_open = 1 AND dead IS NULL))
)
LIMIT :limit

-- name: drop_incident
DELETE FROM incident WHERE id = ?

-- name: drop_old_episodes
-- The newest episode goes with its incident.
DELETE FROM episode WHERE rowid IN (
    SELECT episode.rowid FROM episode
    JOIN incident ON incident.id = episode.incident_id
    WHERE episode.resolved_at < ? AND episode.number < incident.episode
    LIMIT ?
)

-- name: rebase_incidents
-- Those that are settled and closed are history.
UPDATE incident SET
    opened_at = opened_at + :by, changed_at = changed_at + :by, due_at = due_at + :by,
    openings = (SELECT json_group_array(value + :by) FROM json_each(openings))
WHERE open = 1 OR due_at IS NOT NULL

-- name: rebase_deliveries
UPDATE delivery SET shown_at = shown_at + :by, owed_since = owed_since + :by
WHERE may_show_open = 1 OR owed_since IS NOT NULL

-- name: rebase_sources
UPDATE source SET last_heard = last_heard + :by

-- name: rebase_destinations
UPDATE destination SET since = since + :by
