-- Messages resemble one another: those of one commit are compressed together, which takes a tenth of the room.

CREATE TABLE new_body (
    id INTEGER PRIMARY KEY,
    compressed BLOB NOT NULL  -- zlib: the bodies of the new messages of one commit, one behind the other
) STRICT;

CREATE TABLE new_notification (
    id INTEGER PRIMARY KEY,
    received_at INTEGER NOT NULL,
    body_id INTEGER NOT NULL REFERENCES new_body (id),
    start INTEGER NOT NULL,  -- where its body begins
    bytes INTEGER            -- and how long it is; NULL: to the end
) STRICT;

INSERT INTO new_body (id, compressed) SELECT id, compressed FROM body;
INSERT INTO new_notification (id, received_at, body_id, start, bytes)
SELECT id, received_at, body_id, 0, NULL FROM notification;

DROP TABLE notification;
DROP TABLE body;
ALTER TABLE new_body RENAME TO body;
ALTER TABLE new_notification RENAME TO notification;
CREATE INDEX notification_body ON notification (body_id);
