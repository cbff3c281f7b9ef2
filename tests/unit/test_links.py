"""Web addresses for people: where they lead, and what never becomes one."""

import json
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import links
from tests.unit import build, told

PROMETHEUS = "https://prometheus.example"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>",
        "ftp://files.example/",
        "//evil.example/",
        "/relative",
        "https://",
        "https://user:password@host.example/",
        "https://good.example@evil.example/",
        "https://good.example\\@evil.example/",
        "https://[::1/",
        "https://host.example:port/",
        "https://ho st.example/",
        "https://g\u043e\u043ed.example/",
        "https://good.example\n/",
        "https://good.example/\x00",
        "https://good.example/\u202ecod.exe",
        "https://good.example/" + "x" * 2_000,
    ],
)
def test_no_address_for_people(address: str) -> None:
    assert links.web(address) == ""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host.example/a?b=c#d", "https://host.example/a?b=c#d"),
        ("http://[::1]:9090/graph", "http://[::1]:9090/graph"),
        ("https://host.example/a b?c=<d|e>", "https://host.example/a%20b?c=%3Cd%7Ce%3E"),
        ("https://host.example/%7Balready%7D", "https://host.example/%7Balready%7D"),
        ("https://host.example/ü", "https://host.example/%C3%BC"),
    ],
)
def test_an_address_is_kept_and_encoded(address: str, shown: str) -> None:
    assert links.web(address) == shown


@given(told.texts, st.sampled_from(["", "https://", "http://host.example/", "https://host.example/?q="]))
def test_whatever_comes_out_is_a_plain_web_address(text: str, before: str) -> None:
    shown = links.web(before + text)
    assert len(shown) <= links.LONGEST_CHARACTERS
    assert shown == "" or shown.startswith(("http://", "https://"))
    assert shown.isascii()
    assert not set(shown) & set("<>|\"'`\\ ") - {"'"}


def test_the_graph_is_where_people_reach_prometheus() -> None:
    address = "http://prometheus-svc:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1"
    assert links.moved(address, PROMETHEUS) == f"{PROMETHEUS}/graph?g0.expr=up+%3D%3D+0&g0.tab=1"


def test_without_a_known_place_an_address_stays_as_it_is() -> None:
    assert links.moved("http://prometheus-svc:9090/graph", "") == "http://prometheus-svc:9090/graph"


@pytest.mark.parametrize("path", ["/graph", "/tools/graph"])
def test_the_path_that_a_place_has_is_there_once(path: str) -> None:
    moved = links.moved(f"http://prometheus-svc:9090{path}?g0.tab=1", "https://ops.example/tools/")
    assert moved == "https://ops.example/tools/graph?g0.tab=1"


def test_what_is_no_address_does_not_become_one_by_moving() -> None:
    assert links.moved("javascript:alert(1)", PROMETHEUS) == ""


def test_a_page_of_ours() -> None:
    page = links.page("https://alerts.example/", "runbooks", "Service Down/..")
    assert page == "https://alerts.example/runbooks/Service%20Down%2F.."


def test_a_page_of_ours_needs_to_know_where_we_are() -> None:
    assert links.page("", "incidents", "abc") == ""


def logs_query(address: str) -> dict[str, object]:
    (left,) = parse_qs(urlsplit(address).query)["left"]
    query: dict[str, object] = json.loads(left)
    return query


def test_logs_are_those_of_the_named_pod_from_before_the_alert() -> None:
    labels = {"namespace": "prod", "service": "vpn-core", "pod": "vpn-1"}
    address = links.logs(labels, since=build.at(0), grafana_url="https://grafana.example/")
    assert address.startswith("https://grafana.example/explore?left=")
    query = logs_query(address)
    assert query["datasource"] == "loki"
    assert query["queries"] == [{"refId": "A", "expr": '{namespace="prod",app="vpn-core",pod="vpn-1"}'}]
    assert query["range"] == {"from": str(int(build.at(-900).timestamp() * 1000)), "to": "now"}


def test_a_label_cannot_leave_its_place_in_the_logs_query() -> None:
    labels = {"namespace": 'x"} or {a="b'}
    address = links.logs(labels, since=build.at(0), grafana_url="https://grafana.example")
    assert logs_query(address)["queries"] == [{"refId": "A", "expr": '{namespace="x\\"} or {a=\\"b"}'}]


@pytest.mark.parametrize(
    ("labels", "grafana_url"), [({}, "https://grafana.example"), ({"namespace": "prod"}, "")]
)
def test_no_logs_without_a_name_or_without_grafana(labels: dict[str, str], grafana_url: str) -> None:
    assert links.logs(labels, since=build.at(0), grafana_url=grafana_url) == ""


def silence(group_labels: dict[str, str], alertmanager_url: str = "https://am.example") -> str:
    return links.silence(group_labels, alertmanager_url=alertmanager_url, external_url="http://am-svc:9093")


def test_a_silence_matches_the_group() -> None:
    address = silence({"service": "vpn-core", "alertname": "ServiceDown"})
    base, _, filtered = address.partition("/#/silences/new?filter=")
    assert base == "https://am.example"
    assert unquote(filtered) == '{alertname="ServiceDown",service="vpn-core"}'


def test_a_value_cannot_leave_its_matcher() -> None:
    filtered = unquote(silence({"a": 'x"} \\ \n'}).partition("filter=")[2])
    assert filtered == '{a="x\\"} \\\\ \\n"}'


def test_a_name_beyond_the_old_alphabet_is_quoted() -> None:
    assert unquote(silence({"the name": "x"})).endswith('{"the name"="x"}')


def test_the_first_of_several_alertmanagers_has_the_form() -> None:
    assert silence({"a": "b"}, "https://one.example,https://two.example").startswith("https://one.example/#/")


def test_alertmanager_s_own_address_serves_for_want_of_another() -> None:
    assert silence({"a": "b"}, "").startswith("http://am-svc:9093/#/silences/new")


def test_nothing_offers_to_silence_everything() -> None:
    assert silence({}) == ""
