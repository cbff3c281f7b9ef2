"""`backup` and `restore`: the store's file, taken away and brought back."""

# ruff: noqa: PLC0415 - as in webhook.cli
# ruff: noqa: D301 - as in webhook.cli

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from webhook.cli_options import CONFIG, OUTPUT, STATE

if TYPE_CHECKING:
    from webhook.store.backup import Copied

_STREAM = "-"


@click.command()
@click.argument("target", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@STATE
@CONFIG
@OUTPUT
@click.pass_context
def backup(
    context: click.Context, *, target: Path, state_dir: Path, config_file: Path | None, output: str
) -> None:
    """Copy the store to a new FILE, or to standard output for "-". `serve` may run: it goes on committing.

    The copy is one file, as of one moment, and checked. Who has it has every label and annotation that is kept;
    no secret is in it.

    \b
    Examples:
      phantommesh-alerts backup /backup/alerts-2026-12-01.sqlite3 --state-dir /var/lib/phantommesh-alerts
      kubectl exec phantommesh-alerts-0 -- phantommesh-alerts backup - --state-dir DIR > alerts.sqlite3
    """
    from webhook import config
    from webhook.store import backup as copies
    from webhook.store import contract

    try:
        file = config.load(config_file).database_file
        if str(target) != _STREAM:
            _say("backed up", copies.backup(state_dir, target, file), output)
            return
        copies.database_in(state_dir, file)
        with _scratch(state_dir) as folder:
            copied = copies.backup(state_dir, folder / "backup", file)
            with copied.file.open("rb") as opened:
                shutil.copyfileobj(opened, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    except (config.ConfigFaults, contract.StoreRefused) as refusal:
        click.echo(str(refusal), err=True)
        context.exit(1)
    except OSError as error:
        click.echo(f"cannot write the backup: {error.strerror}", err=True)
        context.exit(1)


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@STATE
@CONFIG
@OUTPUT
@click.pass_context
def restore(
    context: click.Context, *, source: Path, state_dir: Path, config_file: Path | None, output: str
) -> None:
    """Put the backup FILE, or standard input for "-", in the store's place. Stop `serve` first.

    The backup is checked before anything is touched. What was there is kept beside it. What happened since the
    backup is unknown to the store; Alertmanager tells again what still fires, at the latest after its
    repeat_interval, and PagerDuty knows by its key what it has already.

    \b
    Examples:
      phantommesh-alerts restore /backup/alerts-2026-12-01.sqlite3 --state-dir /var/lib/phantommesh-alerts
    """
    from webhook import config
    from webhook.store import backup as copies
    from webhook.store import contract

    try:
        file = config.load(config_file).database_file
        now = datetime.now(UTC)
        if str(source) != _STREAM:
            _say("restored", copies.restore(state_dir, source, now, file), output)
            return
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _scratch(state_dir) as folder:
            with (folder / "backup").open("wb") as opened:
                shutil.copyfileobj(sys.stdin.buffer, opened)
            _say("restored", copies.restore(state_dir, folder / "backup", now, file), output)
    except (config.ConfigFaults, contract.StoreRefused) as refusal:
        click.echo(str(refusal), err=True)
        context.exit(1)
    except OSError as error:
        click.echo(f"cannot read the backup: {error.strerror}", err=True)
        context.exit(1)


@contextlib.contextmanager
def _scratch(state_dir: Path) -> Iterator[Path]:
    """A folder for this user alone, on the state directory's file system: there is room where a store is."""
    with tempfile.TemporaryDirectory(dir=state_dir, prefix="copy-") as folder:
        yield Path(folder)


def _say(done: str, copied: "Copied", output: str) -> None:
    data = {
        "file": str(copied.file),
        "bytes": copied.size_bytes,
        "schema": copied.schema,
        "open_incidents": copied.open_incidents,
        "set_aside": str(copied.set_aside) if copied.set_aside else None,
    }
    if output == "json":
        click.echo(json.dumps(data))
        return
    click.echo(
        "{file} {done}: {bytes} bytes, schema {schema}, {open_incidents} open".format(done=done, **data)
    )
    if copied.set_aside:
        click.echo(f"what was there before is {copied.set_aside}; delete it when you do not need it")
