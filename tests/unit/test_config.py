"""A configuration either can work and is typed, or everything that is wrong with it is told."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import failover, sources, tree
from webhook import certificates, config, environment

FIXTURES = Path(__file__).parents[1] / "fixtures"
BROKEN = FIXTURES / "config"
TLS = FIXTURES / "tls"
KEY = "0123456789abcdef0123456789abcdef"
SLACK = "https://hooks.slack.example/services/T0/B0/hidden"

SMALL = """\
destinations:
  pager: {kind: pagerduty, routing_key: {env: KEY}}
  log: {kind: log}
route:
  routes:
    - matchers: [priority=P1]
      destinations: [pager]
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "routing.yml"
    file.write_text(text, "utf-8")
    return file


def faults_of(file: Path | None, environ: dict[str, str]) -> list[str]:
    with pytest.raises(config.ConfigFaults) as refused:
        config.load(file, environ)
    return [str(fault) for fault in refused.value.faults]


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yml")), ids=lambda file: file.stem)
def test_a_mistake_is_told_exactly(file: Path) -> None:
    """Each file has one mistake, its message (`# expect: `) and the environment it needs (`# with: `)."""
    content = file.read_text("utf-8", errors="replace")
    expected = re.findall(r"^# expect: (.*)$", content, flags=re.MULTILINE)
    given_ = re.findall(r"^# with: (\w+)=(.*)$", content, flags=re.MULTILINE)
    environ = {name: value.replace(r"\n", "\n") for name, value in given_}

    told = [text.removeprefix(f"{file}:").replace(f"{BROKEN}/", "") for text in faults_of(file, environ)]

    assert expected
    assert told == expected
    assert "hid" not in "".join(told)  # every secret in these files is called "hidden"


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = SMALL.replace("kind: log", "kind: lgo").replace("matchers", "match") + "max_body_bytes: 1k\n"

    assert [fault.split(":")[1] for fault in faults_of(written(tmp_path, text), {})] == ["3", "6", "8"]


def test_mistakes_beyond_the_schema_are_told_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("[pager]", "[pagr]").replace("priority=P1", "priority") + "access: {pages: token}\n"
    faults = faults_of(written(tmp_path, text), {"EXTERNAL_URL": "x", "KEY": "a b"})

    assert [fault.split(":")[1] for fault in faults] == [
        "2",
        "6",
        "7",
        "8",
        " EXTERNAL_URL must be a web address that begins with https",
    ]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yml"
    assert faults_of(missing, {}) == [f"{missing}: cannot be read: No such file or directory"]


def test_the_packaged_configuration_works_with_nothing_set() -> None:
    settings = config.load(None, {})

    assert {name: entry.dry for name, entry in settings.destinations.items()} == {
        "pagerduty": True,
        "slack-incidents": True,
        "slack-ops": True,
        "slack-info": True,
        "log": False,
    }
    assert settings.live_paging_destinations == ()
    assert settings.webhook_token is None
    assert settings.max_body_bytes == 16 * 2**20
    assert settings.retention.notifications == timedelta(days=14)
    assert settings.retention.notifications_bytes == 2**30
    assert settings.retention.episodes == timedelta(days=90)
    assert settings.access == config.Access(pages_open=True, metrics_open=True)
    assert settings.tls is None
    assert settings.heartbeat_url is None
    assert settings.sources == sources.Policy(expected=None, missing_after=timedelta(minutes=3))
    assert settings.database_file == ""


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"priority": "P1"}, ("pagerduty", "slack-incidents", "log")),
        ({"severity": "warning"}, ("slack-ops", "log")),
        ({"severity": "info"}, ("slack-info", "log")),
        ({}, ("slack-ops", "log")),
        ({"alertname": "WatchdogMissing", "priority": "P1"}, ("pagerduty", "slack-incidents", "log")),
        (
            {"alertname": "DestinationBroken", "priority": "P1"},
            ("pagerduty", "slack-incidents", "slack-ops", "log"),
        ),
        (
            {"alertname": "DeliveryRefused", "priority": "P2"},
            ("pagerduty", "slack-incidents", "slack-ops", "log"),
        ),
    ],
)
def test_the_packaged_routes_are_those_of_the_manual(labels: dict[str, str], names: tuple[str, ...]) -> None:
    assert tree.names(tree.destinations_for(config.load(None, {}).root, labels)) == names


def test_the_packaged_configuration_takes_everything_from_the_environment() -> None:
    settings = config.load(
        None,
        {
            "PAGERDUTY_SERVICE_KEY": KEY,
            "PAGERDUTY_EVENTS_URL": "https://events.eu.pagerduty.com/",
            "SLACK_OPS_WEBHOOK": SLACK,
            "WEBHOOK_TOKEN": "hidden-token",
            "EXTERNAL_URL": "https://alerts.example/base/",
            "PROMETHEUS_URL": "http://prometheus:9090",
            "ALERTMANAGER_URL": "http://one:9093, http://two:9093/",
            "GRAFANA_URL": "https://grafana.example",
            "LOKI_URL": "http://loki:3100",
            "DATABASE_URL": "sqlite:///alerts.db",
            "HEARTBEAT_URL": "https://heart.example/ping/hidden",
        },
    )
    pagerduty, slack = settings.destinations["pagerduty"], settings.destinations["slack-ops"]
    assert isinstance(pagerduty, config.PagerDuty)
    assert isinstance(slack, config.Slack)
    assert settings.webhook_token is not None
    assert pagerduty.routing_key == environment.Secret(KEY)
    assert pagerduty.events_url == "https://events.eu.pagerduty.com"
    assert (slack.webhook, slack.channel) == (environment.Secret(SLACK), "#phantommesh-ops")
    assert settings.webhook_token.reveal() == "hidden-token"
    assert settings.live_paging_destinations == ("pagerduty",)
    assert settings.surroundings.external_url == "https://alerts.example/base"
    assert settings.surroundings.prometheus_url == "http://prometheus:9090"
    assert settings.surroundings.grafana_url == "https://grafana.example"
    assert settings.surroundings.loki_url == "http://loki:3100"
    assert settings.surroundings.alertmanager_url == "http://one:9093"
    assert settings.alertmanager_urls == ("http://one:9093", "http://two:9093")
    assert settings.database_file == "alerts.db"
    assert settings.heartbeat_url == environment.Secret("https://heart.example/ping/hidden")


def test_without_a_region_it_is_the_american_one() -> None:
    pagerduty = config.load(None, {}).destinations["pagerduty"]
    assert isinstance(pagerduty, config.PagerDuty)
    assert pagerduty.events_url == "https://events.pagerduty.com"


def test_the_sources_that_are_expected_can_be_listed(tmp_path: Path) -> None:
    listed = (
        "sources: {expected: [{cluster: eu}, {cluster: us, prometheus: b}], missing_after_seconds: 300}\n"
    )
    assert config.load(written(tmp_path, SMALL + listed), {}).sources == sources.Policy(
        expected=(sources.Expected(cluster="eu"), sources.Expected(cluster="us", prometheus="b")),
        missing_after=timedelta(minutes=5),
    )


def test_a_destination_can_have_a_region_of_its_own(tmp_path: Path) -> None:
    text = SMALL.replace("{env: KEY}}", "{env: KEY}, events_url: 'https://events.eu.pagerduty.com'}")
    settings = config.load(written(tmp_path, text), {"PAGERDUTY_EVENTS_URL": "http://localhost:1"})
    pager = settings.destinations["pager"]
    assert isinstance(pager, config.PagerDuty)
    assert pager.events_url == "https://events.eu.pagerduty.com"


def test_no_secret_is_printed_with_the_settings() -> None:
    settings = config.load(
        None, {"PAGERDUTY_SERVICE_KEY": KEY, "SLACK_OPS_WEBHOOK": SLACK, "WEBHOOK_TOKEN": "hidden-token"}
    )
    printed = f"{settings!r} {settings} {settings.destinations} {settings.webhook_token}"

    assert "***" in printed
    assert not any(secret in printed for secret in (KEY, SLACK, "hidden-token"))


def test_every_variable_can_name_a_file_instead(tmp_path: Path) -> None:
    key, token = tmp_path / "key", tmp_path / "token"
    key.write_bytes(f"{KEY}\r\n".encode())
    token.write_text("hidden\n", "utf-8")
    settings = config.load(written(tmp_path, SMALL), {"KEY_FILE": str(key), "WEBHOOK_TOKEN_FILE": str(token)})
    pager = settings.destinations["pager"]
    assert isinstance(pager, config.PagerDuty)
    assert pager.routing_key == environment.Secret(KEY)
    assert settings.webhook_token == environment.Secret("hidden")


def test_a_secret_can_be_a_file_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(KEY, "utf-8")
    monkeypatch.chdir("/")  # so a path relative to the current folder would not be found
    pager = config.load(written(tmp_path, SMALL.replace("env: KEY", "file: key")), {}).destinations["pager"]
    assert isinstance(pager, config.PagerDuty)
    assert pager.routing_key == environment.Secret(KEY)


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert config.load(written(tmp_path, SMALL), {"KEY": "", "KEY_FILE": ""}).destinations["pager"].dry


@pytest.mark.parametrize("value", ["", "\n"])
def test_an_empty_file_is_a_mistake(tmp_path: Path, value: str) -> None:
    (tmp_path / "key").write_text(value, "utf-8")
    (told,) = faults_of(written(tmp_path, SMALL), {"KEY": "", "KEY_FILE": str(tmp_path / "key")})
    assert f"{tmp_path}/key is empty" in told


def test_the_content_of_an_unusable_secret_file_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"hidden\xff")
    (told,) = faults_of(written(tmp_path, SMALL), {"KEY_FILE": str(tmp_path / "key")})
    assert told.endswith(f"KEY_FILE: {tmp_path}/key is not UTF-8 text")


def test_a_long_token_is_taken_whole(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x" * 65_536, "utf-8")
    settings = config.load(None, {"WEBHOOK_TOKEN_FILE": str(tmp_path / "token")})
    assert settings.webhook_token == environment.Secret("x" * 65_536)


def test_a_token_can_have_any_visible_character() -> None:
    token = "".join(map(chr, range(ord("!"), ord("~") + 1)))
    assert config.load(None, {"WEBHOOK_TOKEN": token}).webhook_token == environment.Secret(token)


def test_a_secret_is_no_text() -> None:
    assert environment.Secret("hidden") != "hidden"


def test_a_path_that_is_none_is_told(tmp_path: Path) -> None:
    text = SMALL.replace("env: KEY", r'file: "a\0b"')
    (told,) = faults_of(written(tmp_path, text), {})
    assert told.endswith("b: no path")


def test_a_space_in_an_address_is_named() -> None:
    assert faults_of(None, {"EXTERNAL_URL": "https://alerts.example/a b"}) == [
        "environment: EXTERNAL_URL holds a space, a line break or a character that is not ASCII"
    ]


def test_a_file_that_is_far_too_large_for_a_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x" * 65_537)
    (told,) = faults_of(written(tmp_path, SMALL), {"KEY_FILE": str(tmp_path / "key")})
    assert told.endswith(f"{tmp_path}/key is larger than 65536 bytes")


def test_one_broken_variable_is_told_once_however_many_need_it(tmp_path: Path) -> None:
    text = SMALL.replace("  log:", "  second: {kind: pagerduty, routing_key: {env: OTHER}}\n  log:")
    assert len(faults_of(written(tmp_path, text), {"PAGERDUTY_EVENTS_URL": "nowhere"})) == 1


def test_a_destination_is_stood_in_for_after_45_seconds_if_nothing_else_is_said(tmp_path: Path) -> None:
    text = SMALL.replace("{env: KEY}}", "{env: KEY}, failover: {to: ops}}").replace(
        "  log:", '  ops: {kind: slack, channel: "#ops", webhook: {env: OPS}}\n  log:'
    )
    settings = config.load(written(tmp_path, text), {"KEY": KEY})
    assert settings.backups == {
        "pager": failover.Backup(to="ops", after_seconds=45, title="pager (pagerduty)", pages=True)
    }


def test_by_default_pagerduty_and_the_incident_channel_stand_in_for_each_other() -> None:
    backups = config.load(None, {}).backups
    assert {name: (one.to, one.after_seconds, one.title) for name, one in backups.items()} == {
        "pagerduty": ("slack-incidents", 45, "PagerDuty"),
        "slack-incidents": ("pagerduty", 45, "Slack's #phantommesh-incidents"),
    }


def test_by_default_the_manual_s_emergency_contacts_are_called() -> None:
    called = [contact.who for contact in config.load(None, {}).escalation]
    assert called == ["On-call engineer", "Engineering lead", "CTO", "CEO"]


def test_a_retired_destination_is_kept_and_pages_nobody(tmp_path: Path) -> None:
    text = SMALL.replace("  log:", "  old: {kind: pagerduty, routing_key: {env: OLD}, retired: true}\n  log:")
    settings = config.load(written(tmp_path, text), {"OLD": KEY})
    assert settings.destinations["old"].retired
    assert settings.live_paging_destinations == ()


def test_all_settings_of_the_file_are_taken(tmp_path: Path) -> None:
    text = SMALL + (
        "max_body_bytes: 2048\n"
        "retention: {notifications_days: 1, notifications_bytes: 1048576, episodes_days: 2}\n"
        "access: {pages: token, metrics: token}\n"
        f"tls: {{cert: {TLS}/server.crt, key: {TLS}/server.key}}\n"
    )
    settings = config.load(written(tmp_path, text), {"WEBHOOK_TOKEN": "t"})
    assert settings.max_body_bytes == 2048
    assert settings.retention.notifications == timedelta(days=1)
    assert settings.retention.notifications_bytes == 2**20
    assert settings.retention.episodes == timedelta(days=2)
    assert settings.access == config.Access(pages_open=False, metrics_open=False)
    assert settings.tls == certificates.Files(cert=TLS / "server.crt", key=TLS / "server.key")


def test_every_secret_of_the_settings_is_found() -> None:
    environ = {
        "WEBHOOK_TOKEN": "t1",
        "WEBHOOK_TOKEN_PREVIOUS": "t2",
        "PAGERDUTY_SERVICE_KEY": KEY,
        "SLACK_OPS_WEBHOOK": SLACK,
    }
    found = {secret.reveal() for secret in environment.secrets_in(config.load(None, environ))}
    assert found == set(environ.values())


def test_destinations_and_routes_know_their_lines(tmp_path: Path) -> None:
    settings = config.load(written(tmp_path, SMALL), {})
    assert [entry.line for entry in settings.destinations.values()] == [2, 3]
    assert [route.line for route in tree.walk(settings.root)] == [4, 6]
    assert settings.file == str(tmp_path / "routing.yml")


@pytest.mark.parametrize(
    ("address", "usable"),
    [
        ("https://alerts.example", True),
        ("http://127.0.0.1:9090/prometheus", True),
        ("http://[::1]:9090", True),
        ("https://alerts.example:port", False),
        ("https://alerts.example:0", False),
        ("https://", False),
        ("https:///path", False),
        ("http://[::1", False),
        ("javascript:alert(1)", False),
        ("https://alerts.example?x=1", False),
        ("https://alerts.example#x", False),
        ("https://user:hidden@alerts.example", False),
        ("https://alerts.example/a b", False),
    ],
)
def test_addresses_that_links_are_made_of(address: str, usable: bool) -> None:
    if usable:
        assert config.load(None, {"EXTERNAL_URL": address}).surroundings.external_url == address
    else:
        assert "hidden" not in "".join(faults_of(None, {"EXTERNAL_URL": address}))


@given(st.text(max_size=30))
def test_no_value_of_the_environment_breaks_the_reading(value: str) -> None:
    names = ("PAGERDUTY_SERVICE_KEY", "SLACK_OPS_WEBHOOK", "EXTERNAL_URL", "DATABASE_URL", "ALERTMANAGER_URL")
    faults: list[str] = []
    for name in names:
        try:
            config.load(None, {name: value})
        except config.ConfigFaults as refused:
            faults += [fault.text for fault in refused.faults if name not in fault.text]
    assert not faults
