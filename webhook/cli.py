"""The command line: a thin shell. What is heavy is imported inside the command that needs it.

Exit status: 0, 1 (found something), 2 (used wrongly).
"""

# ruff: noqa: PLC0415 - imports inside commands keep `check` from waiting for the server's libraries
# ruff: noqa: D301 - \b is a character that click knows, so these docstrings must not be raw

import json
import signal
import sys
from pathlib import Path
from typing import Literal

import click

from webhook import cli_letters, cli_store
from webhook.cli_options import CONFIG, OUTPUT, STATE


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit status: 0, 1 (found something), 2 (used wrongly).",
)
def main() -> None:
    """Get each PhantomMesh incident from Alertmanager to PagerDuty and Slack: once, in order and on time.

    \b
    Examples:
      phantommesh-alerts check
      phantommesh-alerts serve --dry-run --listen 127.0.0.1:9095
      phantommesh-alerts incidents
      phantommesh-alerts route test alertname=ServiceDown priority=P1
    """


main.add_command(cli_letters.dead_letters)
main.add_command(cli_letters.replay)
main.add_command(cli_store.backup)
main.add_command(cli_store.restore)


class _Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT, an IPv6 host in brackets."""

    name = "address"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the largest port
            self.fail(f"{value!r} is no address; write HOST:PORT, like 127.0.0.1:9095", param, ctx)
        return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)  # noqa: S104 - as documented


@main.command()
@CONFIG
@click.option(
    "--listen",
    "address",
    metavar="HOST:PORT",
    type=_Address(),
    default="0.0.0.0:9095",
    show_default=True,
    help="Where Alertmanager posts and people look.",
)
@STATE
@click.option("--dry-run", is_flag=True, help="Send nothing at all; print what would be sent.")
@click.option("--allow-anonymous", is_flag=True, help="Let anybody post who reaches the port.")
@click.option(
    "--log-format", "log_style", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.pass_context
def serve(
    context: click.Context,
    *,
    config_file: Path | None,
    address: tuple[str, int],
    state_dir: Path,
    dry_run: bool,
    allow_anonymous: bool,
    log_style: Literal["text", "json"],
) -> None:
    """Receive from Alertmanager and tell PagerDuty and Slack, until SIGTERM.

    SIGHUP, or POST /-/reload, loads the configuration anew; one with faults is refused.

    \b
    Examples:
      phantommesh-alerts serve
      phantommesh-alerts serve --config routing.yml --listen 127.0.0.1:9095 --state-dir /var/lib/phantommesh-alerts
      phantommesh-alerts serve --dry-run --listen 127.0.0.1:9095
    """
    # Until the service listens to signals itself: an early SIGTERM is an ordinary end, a SIGHUP has nothing to do.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    import asyncio

    from webhook import app, config
    from webhook.store import contract

    host, port = address
    options = app.Options(
        config_file=config_file,
        host=host,
        port=port,
        state_dir=state_dir,
        dry_run=dry_run,
        allow_anonymous=allow_anonymous,
        log_style=log_style,
    )
    try:
        asyncio.run(app.serve(options))
    except (config.ConfigFaults, app.Unsafe, contract.StoreRefused) as refusal:
        click.echo(str(refusal), err=True)
        context.exit(1)
    except OSError as error:
        click.echo(f"cannot listen on {host}:{port}: {error.strerror}", err=True)
        context.exit(1)


@main.command()
@CONFIG
@STATE
@click.option("--closed", is_flag=True, help="The last closed ones instead of those that are open.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At the most.")
@OUTPUT
@click.pass_context
def incidents(
    context: click.Context,
    *,
    config_file: Path | None,
    state_dir: Path,
    closed: bool,
    limit: int,
    output: str,
) -> None:
    """List incidents and what each destination was told, from the store, whether `serve` runs or not.

    \b
    Examples:
      phantommesh-alerts incidents
      phantommesh-alerts incidents --closed --limit 10 --state-dir /var/lib/phantommesh-alerts
      phantommesh-alerts incidents --output json
    """
    from datetime import UTC, datetime

    from webhook import config, listing
    from webhook.store import contract, peek

    try:
        file = config.load(config_file).database_file
        found = peek.incidents(state_dir, file, closed=closed, limit=limit)
    except (config.ConfigFaults, contract.StoreRefused) as refusal:
        click.echo(str(refusal), err=True)
        context.exit(1)
    if output == "json":
        click.echo(json.dumps(listing.as_data(found), indent=2))
    else:
        click.echo(listing.as_text(found, now=datetime.now(UTC)))


@main.command()
@OUTPUT
def version(output: str) -> None:
    """Say which version this is, and which rule set it carries.

    \b
    Examples:
      phantommesh-alerts version
      phantommesh-alerts version --output json
    """
    from importlib import metadata

    from webhook import rulefiles

    versions = {
        "version": metadata.version("phantommesh-alerts"),
        "ruleset_version": (rulefiles.folder() / "VERSION").read_text("utf-8").strip(),
    }
    if output == "json":
        click.echo(json.dumps(versions))
    else:
        click.echo("phantommesh-alerts {version} (rules {ruleset_version})".format_map(versions))


@main.command()
@CONFIG
@click.option(
    "--alertmanager",
    "alertmanager_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Alertmanager's configuration, to be checked too. Default: a checkout's deploy/alertmanager.yml.",
)
@click.option(
    "--prometheus",
    "prometheus_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prometheus' configuration, for the time that a P1 takes. Default: a checkout's deploy/prometheus.yml.",
)
@click.option(
    "--rules",
    "rules_folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with *.rules.yml and runbooks/. Default: the packaged rules.",
)
@OUTPUT
@click.pass_context
def check(
    context: click.Context,
    *,
    config_file: Path | None,
    alertmanager_file: Path | None,
    prometheus_file: Path | None,
    rules_folder: Path | None,
    output: str,
) -> None:
    """Check configuration, rules, runbooks and Alertmanager together.

    Every finding is told as FILE:LINE: severity: what, and what would be right. What is dry, because its secret is
    not set, is a note and no fault. Rules that have a manual.yml beside them are held against it.

    \b
    Examples:
      phantommesh-alerts check
      phantommesh-alerts check --config routing.yml --alertmanager /etc/prometheus/alertmanager.yml
    """
    from webhook import check as checking
    from webhook import rulefiles

    if rules_folder is None:
        alertmanager_file = alertmanager_file or rulefiles.deployed("alertmanager.yml")
        prometheus_file = prometheus_file or rulefiles.deployed("prometheus.yml")
    found = checking.everything(
        config_file=config_file,
        rules_folder=rules_folder or rulefiles.folder(),
        alertmanager_file=alertmanager_file,
        prometheus_file=prometheus_file,
    )
    errors = [finding for finding in found if finding.severity is checking.Severity.ERROR]
    if output == "json":
        click.echo(checking.as_json(found))
    else:
        for finding in found:
            click.echo(str(finding))
        click.echo(f"{_counted(len(errors), 'error')}, {_counted(len(found) - len(errors), 'note')}")
    context.exit(1 if errors else 0)


@main.group()
def route() -> None:
    """Ask the routing configuration.

    \b
    Examples:
      phantommesh-alerts route test alertname=ServiceDown severity=critical
    """


@route.command("test")
@click.argument("words", metavar="LABEL=VALUE...", nargs=-1, required=True)
@CONFIG
@OUTPUT
@click.pass_context
def route_test(context: click.Context, words: tuple[str, ...], config_file: Path | None, output: str) -> None:
    """Say where an alert with these labels would go, and why.

    The exit status is 1 when it would go nowhere.

    \b
    Examples:
      phantommesh-alerts route test alertname=ServiceDown severity=critical
      phantommesh-alerts route test priority=P3 --config routing.yml --output json
    """
    from webhook import config, routetest

    labels = _labels(words)
    try:
        settings = config.load(config_file)
    except config.ConfigFaults as faults:
        click.echo(str(faults), err=True)
        context.exit(1)
    if output == "json":
        click.echo(json.dumps(routetest.as_data(settings, labels), indent=2))
    else:
        click.echo(routetest.as_text(settings, labels))
    context.exit(0 if routetest.goes_somewhere(settings, labels) else 1)


def _labels(words: tuple[str, ...]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise click.UsageError(f"'{word}' is no label; write it as name=value, like priority=P1")
        if name in labels:
            raise click.UsageError(f"the label {name} is given twice")
        labels[name] = value
    return labels


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
