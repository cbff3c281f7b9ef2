"""The command line: a thin shell. What is heavy is imported inside the command that needs it.

Exit status: 0, 1 (found something), 2 (used wrongly).
"""

# ruff: noqa: PLC0415 - imports inside commands keep `check` from waiting for the server's libraries

import json
from pathlib import Path

import click

_CONFIG = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Routing configuration. Default: the packaged routing.yml.",
)
_OUTPUT = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json is for scripts.",
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit status: 0, 1 (found something), 2 (used wrongly).",
)
def main() -> None:
    r"""Get each PhantomMesh incident from Alertmanager to PagerDuty and Slack: once, in order and on time.

    \b
    Examples:
      phantommesh-alerts check
      phantommesh-alerts route test alertname=ServiceDown priority=P1
    """


@main.command()
@_OUTPUT
def version(output: str) -> None:
    """Say which version this is, and which rule set it carries."""
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
@_CONFIG
@click.option(
    "--alertmanager",
    "alertmanager_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Alertmanager's configuration, to be checked too.",
)
@_OUTPUT
@click.pass_context
def check(
    context: click.Context, config_file: Path | None, alertmanager_file: Path | None, output: str
) -> None:
    r"""Check configuration, rules and runbooks together.

    Every fault is told as FILE:LINE. What is dry, because its secret is not set, is a note and no fault.

    \b
    Examples:
      phantommesh-alerts check
      phantommesh-alerts check --config routing.yml --alertmanager /etc/prometheus/alertmanager.yml
    """
    from webhook import check as checking
    from webhook import rulefiles

    found = checking.findings(
        config_file=config_file, rules_folder=rulefiles.folder(), alertmanager_file=alertmanager_file
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
    """Ask the routing configuration."""


@route.command("test")
@click.argument("words", metavar="LABEL=VALUE...", nargs=-1, required=True)
@_CONFIG
@_OUTPUT
@click.pass_context
def route_test(context: click.Context, words: tuple[str, ...], config_file: Path | None, output: str) -> None:
    r"""Say where an alert with these labels would go, and why.

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
