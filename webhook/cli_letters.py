"""Commands about dead letters: what a destination refused for good."""

# ruff: noqa: PLC0415, D301 - as in `webhook.cli`

import json
import os
from pathlib import Path
from typing import Any

import click

from webhook.cli_options import CONFIG, OUTPUT, STATE

_MOST = 10_000
_URL = "http://127.0.0.1:9095"


@click.command("dead-letters")
@CONFIG
@STATE
@click.option("--destination", metavar="NAME", default="", help="Only what this one refused.")
@OUTPUT
@click.pass_context
def dead_letters(
    context: click.Context, *, config_file: Path | None, state_dir: Path, destination: str, output: str
) -> None:
    """List what a destination refused for good, from the store, whether `serve` runs or not.

    The exit status is 1 when there is something.

    \b
    Examples:
      phantommesh-alerts dead-letters
      phantommesh-alerts dead-letters --destination slack-ops --output json
    """
    from webhook import config, letters
    from webhook.store import contract, peek

    try:
        file = config.load(config_file).database_file
        found = letters.letters(peek.dead_letters(state_dir, file, limit=_MOST), destination=destination)
    except (config.ConfigFaults, contract.StoreRefused) as refusal:
        click.echo(str(refusal), err=True)
        context.exit(1)
    click.echo(json.dumps(letters.as_data(found), indent=2) if output == "json" else letters.as_text(found))
    context.exit(1 if found else 0)


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--destination", metavar="NAME", default="", help="Only what this one refused.")
@click.option("--dry-run", is_flag=True, help="Print the requests that would be sent, and change nothing.")
@click.option("--drop", is_flag=True, help="Send nothing: a person saw to it, take it off the list.")
@click.option(
    "--url",
    metavar="URL",
    default=_URL,
    show_default=True,
    help="The running service, which holds the store. Its token is WEBHOOK_TOKEN.",
)
@CONFIG
@STATE
@OUTPUT
@click.pass_context
def replay(
    context: click.Context,
    *,
    ids: tuple[str, ...],
    everything: bool,
    destination: str,
    dry_run: bool,
    drop: bool,
    url: str,
    config_file: Path | None,
    state_dir: Path,
    output: str,
) -> None:
    """Let dead letters be sent again, each as its incident is by then; ID is the incident's.

    The running service does it, because the store is its own: it is asked at --url, with WEBHOOK_TOKEN. --dry-run
    asks nobody: it reads the store, and prints each request with its secrets masked.

    \b
    Examples:
      phantommesh-alerts replay --all --dry-run
      phantommesh-alerts replay 4f1c2b7a90d3e8f6a1b2c3d4e5f60718 --destination slack-ops
      phantommesh-alerts replay --all --url https://alerts.example.com
    """
    if bool(ids) == everything:
        raise click.UsageError("name the incidents, or say --all")
    if dry_run and drop:
        raise click.UsageError("--dry-run and --drop exclude each other")
    if dry_run:
        context.exit(_rehearse(ids, destination, config_file, state_dir, output))
    asked = {"incidents": list(ids) or "all", "destination": destination, "drop": drop}
    context.exit(_ask(url, asked, output))


def _rehearse(
    ids: tuple[str, ...], destination: str, config_file: Path | None, state_dir: Path, output: str
) -> int:
    import asyncio
    from datetime import UTC, datetime

    from webhook import config, letters, rehearsal, rulefiles
    from webhook.store import contract, peek

    try:
        settings = config.load(config_file)
        situations = peek.dead_letters(state_dir, settings.database_file, limit=_MOST)
    except (config.ConfigFaults, contract.StoreRefused) as refusal:
        click.echo(str(refusal), err=True)
        return 1
    found = letters.letters(situations, ids=ids, destination=destination)
    rehearsed = asyncio.run(
        rehearsal.rehearse(settings, rulefiles.runbooks(), situations, found, datetime.now(UTC))
    )
    if output == "json":
        click.echo(json.dumps(rehearsal.as_data(rehearsed), indent=2))
    else:
        click.echo(rehearsal.as_text(rehearsed))
    return _missing(set(ids) - {letter.incident_id for letter in found})


def _ask(url: str, asked: dict[str, Any], output: str) -> int:
    from webhook import asking, environment

    try:
        address = environment.base_address(url)
        token = environment.token(environment.variable(os.environ, "WEBHOOK_TOKEN"))
        answer = asking.post(address, "/api/v1/dead-letters/replay", asked, token=token)
    except environment.Unusable as error:
        raise click.UsageError(str(error)) from error
    except asking.Unanswered as error:
        click.echo(str(error), err=True)
        return 1
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        for word in ("replayed", "dropped"):
            for one in answer.get(word, ()):
                click.echo(f"{word}: {one['incident']} at {one['destination']}: {one['title']}")
    return _missing(set(answer["unknown"]))


def _missing(unknown: set[str]) -> int:
    for one in sorted(unknown):
        click.echo(f"{one}: no such dead letter; `phantommesh-alerts dead-letters` lists them", err=True)
    return 1 if unknown else 0
