"""Removing what is past its time, in small bites so that nothing waits long behind one."""

import sqlite3
from datetime import datetime

from webhook.store import audit, contract, rows

BITE = 200
"""Rows that one transaction looks at."""


def drop_notifications(connection: sqlite3.Connection, keep: contract.Retention, now: datetime) -> int:
    """Remove the oldest messages that are too old or too many; a body goes with the last that refers to it."""
    before = rows.to_micros(now - keep.notifications)
    _, size = connection.execute(rows.SQL["tally"]).fetchone()
    dropped = freed = 0
    for row in connection.execute(rows.SQL["oldest_notifications"], (BITE,)).fetchall():
        notification, received_at, body, body_bytes = row
        if received_at >= before and size - freed <= keep.notifications_bytes:
            break
        connection.execute(rows.SQL["drop_notification"], (notification,))
        body_gone = connection.execute(rows.SQL["drop_unused_body"], {"id": body}).rowcount
        freed += audit.ROW_BYTES + body_gone * body_bytes
        dropped += 1
    connection.execute(rows.SQL["add_to_tally"], (-dropped, -freed))
    return dropped


def drop_incidents(connection: sqlite3.Connection, keep: contract.Retention, now: datetime) -> int:
    """Remove incidents that closed long ago and are settled everywhere, with all that belongs to them."""
    before = rows.to_micros(now - keep.episodes)
    old = connection.execute(rows.SQL["old_incidents"], {"before": before, "limit": BITE}).fetchall()
    connection.executemany(rows.SQL["drop_incident"], old)
    return len(old)


def drop_episodes(connection: sqlite3.Connection, keep: contract.Retention, now: datetime) -> int:
    """Remove the long closed episodes of incidents that have had another one since."""
    before = rows.to_micros(now - keep.episodes)
    return connection.execute(rows.SQL["drop_old_episodes"], (before, BITE)).rowcount


ALL = (drop_notifications, drop_incidents, drop_episodes)
