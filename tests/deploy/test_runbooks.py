"""Every page under rules/runbooks is in the form that the service parses, and leads nowhere that does not exist."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from routing import runbooks

RULES = Path(__file__).resolve().parents[2] / "rules"
PAGES = sorted(path for path in (RULES / "runbooks").glob("*.md") if path.stem != "README")

# What the service raises about itself, without a rule of Prometheus.
OWN_ALERTS = {"DestinationBroken", "DeliveryRefused", "WatchdogMissing"}
# Always fires, so that its silence is noticed. Never an incident.
WITHOUT_PAGE = {"Watchdog"}
PROCEDURES = {
    "service-recovery",
    "database-troubleshooting",
    "data-recovery",
    "security-incident-response",
    "certificate-rotation",
    "backup",
    "cache",
    "maintenance",
}
ALERTING_RULES = [
    rule
    for path in sorted(RULES.glob("*.rules.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
RULES_ALERTS = {rule["alert"] for rule in ALERTING_RULES}
ALERT_PAGES = [path for path in PAGES if path.stem[0].isupper()]
SECTIONS = ["Who is hurt", "First three minutes", "Which cause", "Mend it", "It is over when", "Escalate"]
LABELS = {
    "namespace",
    "service",
    "cluster",
    "instance",
    "job",
    "check",
    "datname",
    "pod",
    "container",
    "node",
    "mountpoint",
    "persistentvolumeclaim",
}

BLOCK = re.compile(r"^(?P<indent> *)```sh\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]+\]\((?P<target>[^)\s]+)\)")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
CHANGES = re.compile(
    r"\b(delete|apply|patch|scale|restart|undo|annotate|label|create|run|cordon|drain|set|edit|replace|rm|POST"
    r"|ALTER|DROP|pg_terminate_backend|pg_promote)\b"
)


def blocks(text: str) -> list[str]:
    """The shell blocks of a page, without the indent of the list they stand in."""
    found = []
    for match in BLOCK.finditer(text):
        indent = len(match["indent"])
        found.append("".join(line[indent:] or "\n" for line in match["body"].splitlines(keepends=True)))
    return found


def sections(text: str) -> dict[str, str]:
    return {
        part.partition("\n")[0]: part.partition("\n")[2]
        for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    }


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as repository browsers make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def by_name(path: Path) -> str:
    return path.stem


def test_every_alert_has_a_page() -> None:
    assert (RULES_ALERTS | OWN_ALERTS) - WITHOUT_PAGE - {path.stem for path in PAGES} == set()


def test_every_page_of_an_alert_has_its_alert() -> None:
    assert {path.stem for path in ALERT_PAGES} - RULES_ALERTS - OWN_ALERTS == set()


def test_every_rule_leads_to_a_page_that_is_here() -> None:
    ends = {
        (rule["alert"], rule["annotations"]["runbook_url"].rpartition("/")[2].removesuffix(".md"))
        for rule in ALERTING_RULES
        if rule["alert"] not in WITHOUT_PAGE
    }
    assert {(alert, end) for alert, end in ends if end not in {path.stem for path in PAGES}} == set()


def test_every_procedure_has_a_page() -> None:
    assert PROCEDURES - {path.stem for path in PAGES} == set()


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_a_page_begins_with_its_title(path: Path) -> None:
    title = path.read_text().partition("\n")[0]
    assert re.fullmatch(r"# \S.*", title)
    if path in ALERT_PAGES:
        assert title.startswith(f"# {path.stem}: ")


@pytest.mark.parametrize("path", ALERT_PAGES, ids=by_name)
def test_an_alerts_page_answers_the_same_questions_in_the_same_order(path: Path) -> None:
    assert [name for name in sections(path.read_text()) if name != "Do not"] == SECTIONS


@pytest.mark.parametrize("path", ALERT_PAGES, ids=by_name)
def test_the_first_three_minutes_are_numbered_sentences_with_a_command_at_most(path: Path) -> None:
    before, *items = re.split(
        r"^(\d+)\. ", sections(path.read_text())["First three minutes"], flags=re.MULTILINE
    )
    assert before.strip() == ""
    assert items[::2] == [str(number) for number in range(1, 1 + len(items) // 2)]
    assert 2 <= len(items) // 2 <= 5
    for item in items[1::2]:
        sentence, *commands = re.split(r"\n{2,}", item.strip())
        assert sentence.endswith((".", "?"))
        assert len(commands) == len(BLOCK.findall(item)) <= 1
        assert all(line.startswith("   ") for line in item.splitlines()[1:] if line)


@pytest.mark.parametrize("path", ALERT_PAGES, ids=by_name)
def test_the_first_command_is_one_line_that_changes_nothing(path: Path) -> None:
    first = blocks(sections(path.read_text())["First three minutes"])[0]
    assert first.count("\n") == 1
    assert not CHANGES.search(first)


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_every_block_is_shell(path: Path) -> None:
    assert path.read_text().count("```") == 2 * len(blocks(path.read_text()))
    for block in blocks(path.read_text()):
        command = re.sub(r"<[a-z-]+>", "name", PLACEHOLDER.sub("'a value'", block))
        done = subprocess.run(
            ["bash", "-n"], input=command, capture_output=True, text=True, timeout=10, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), block


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_a_placeholder_is_a_label(path: Path) -> None:
    assert set(PLACEHOLDER.findall(path.read_text())) <= LABELS


@pytest.mark.parametrize("path", ALERT_PAGES, ids=by_name)
def test_an_alerts_page_uses_only_labels_that_the_alert_has(path: Path) -> None:
    table = yaml.safe_load((RULES / "manual.yml").read_text())["alerts"]
    key = " ".join(label for row in table if row["alert"] == path.stem for label in row["key"])
    assert set(PLACEHOLDER.findall(path.read_text())) <= {*re.findall(r"[a-z_]+", key), "service"}


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_every_placeholder_can_be_filled_even_by_a_value_that_must_be_quoted(path: Path) -> None:
    for block in blocks(path.read_text()):
        filled = runbooks.fill(block, dict.fromkeys(LABELS, "two words"))
        if "<<" in block:  # what a shell does with quotes in there is not decided by them
            continue
        assert filled.count("'two words'") == len(PLACEHOLDER.findall(block))


@pytest.mark.parametrize("path", ALERT_PAGES, ids=by_name)
def test_the_service_reads_every_step_and_command_of_the_first_minutes(path: Path) -> None:
    section = sections(path.read_text())["First three minutes"]
    page = runbooks.parse(path.read_text())
    assert page.title == path.read_text().partition("\n")[0].removeprefix("# ")
    assert len(page.steps) == len(re.findall(r"^\d+\. ", section, flags=re.MULTILINE))
    assert [step.command for step in page.steps if step.command] == [
        block.strip() for block in blocks(section)
    ]


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_every_link_leads_to_a_page_and_a_heading_that_exist(path: Path) -> None:
    for match in LINK.finditer(path.read_text()):
        name, _, anchor = match["target"].partition("#")
        target = path.with_name(name) if name else path
        assert target in PAGES, match[0]
        assert not anchor or anchor in anchors(target), match[0]


@pytest.mark.parametrize("path", ALERT_PAGES, ids=by_name)
def test_an_alerts_page_says_whom_to_wake(path: Path) -> None:
    assert "(escalation.md)" in sections(path.read_text())["Escalate"]


def test_every_page_can_be_reached_from_an_alert() -> None:
    reached = set(ALERT_PAGES)
    waiting = list(ALERT_PAGES)
    while waiting:
        for match in LINK.finditer(waiting.pop().read_text()):
            target = RULES / "runbooks" / match["target"].partition("#")[0]
            if target in PAGES and target not in reached:
                reached.add(target)
                waiting.append(target)
    assert reached == set(PAGES)


@pytest.mark.parametrize("path", PAGES, ids=by_name)
@pytest.mark.parametrize(
    ("mistake", "why"),
    [
        (r"kubectl exec -it(?!.*\\password)", "a terminal changes bytes, and a script has none"),
        (r"psql (?!-U )", "without -U it logs in as a role that does not exist"),
        (r"-n \S+ --all-namespaces", "the namespace would be ignored"),
        (r"componentstatuses", "deprecated"),
        (r"kubectl logs pod ", "looks for a pod called pod"),
        (r"DROP DATABASE", "restore beside it and rename"),
        (r"pg_restore --list", "half a dump has its whole list"),
        (r"(?<!SYSTEM )\bSET log_min_duration_statement", "ends with its session"),
        (r"svc/prometheus\b(?!-svc)", "the service is called prometheus-svc"),
        (r"kubectl logs .*--all-namespaces", "kubectl logs has no such flag"),
    ],
)
def test_no_command_repeats_a_mistake_of_the_manual(path: Path, mistake: str, why: str) -> None:
    for block in blocks(path.read_text()):
        assert not re.search(mistake, block), why
