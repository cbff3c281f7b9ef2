"""From bytes to a notification: what is taken, what is mended, what is refused and in which words."""

import contextlib
import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from routing import model
from webhook import faults, payload

FIXTURES = Path(__file__).parents[1] / "fixtures" / "payloads"
REAL = sorted((FIXTURES / "real").iterdir())
GOOD: Mapping[str, Any] = json.loads((FIXTURES / "good.json").read_bytes())
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)

REFUSED = json.loads((FIXTURES / "malformed.json").read_bytes())


def decoded(document: object) -> model.Notification:
    return payload.decode(json.dumps(document).encode(), now=NOW)


def with_alert(**changes: object) -> dict[str, Any]:
    """The good message with one alert, changed so."""
    document = copy.deepcopy(dict(GOOD))
    document["alerts"] = [{**document["alerts"][0], **changes}]
    return document


def test_every_malformed_body_has_its_answer_written_down() -> None:
    assert sorted(REFUSED) == sorted(file.stem for file in (FIXTURES / "malformed").iterdir())


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_body_is_refused_with_what_and_where(name: str) -> None:
    with pytest.raises(faults.Malformed) as refused:
        payload.decode((FIXTURES / "malformed" / f"{name}.json").read_bytes(), now=NOW)
    assert [refused.value.error, refused.value.pointer] == REFUSED[name]


@pytest.mark.parametrize("file", REAL, ids=lambda file: file.stem)
def test_body_of_a_real_alertmanager_is_taken(file: Path) -> None:
    document = json.loads(file.read_bytes())
    heard = payload.decode(file.read_bytes(), now=NOW)
    assert heard.receiver == "web.hook"
    assert heard.group_labels == document["groupLabels"]
    assert [alert.labels for alert in heard.alerts] == [alert["labels"] for alert in document["alerts"]]
    assert heard.truncated_alerts == document["truncatedAlerts"]


@pytest.mark.parametrize("file", REAL, ids=lambda file: file.stem)
def test_computed_fingerprint_is_the_one_of_a_real_alertmanager(file: Path) -> None:
    for alert in json.loads(file.read_bytes())["alerts"]:
        assert payload.fingerprint(alert["labels"]) == alert["fingerprint"]


@pytest.mark.parametrize("given", [None, "", "00000000000000ff", "../../etc"])
def test_fingerprint_comes_of_the_labels_whatever_the_message_says(given: str | None) -> None:
    heard = decoded(with_alert(fingerprint=given)).alerts[0]
    assert heard.fingerprint == payload.fingerprint(heard.labels)


def test_firing_alert_has_no_end_whatever_the_message_says() -> None:
    assert decoded(with_alert(endsAt="2026-11-24T09:00:00Z")).alerts[0].ends_at is None


def test_resolved_alert_ends_when_the_message_says() -> None:
    heard = decoded(with_alert(status="resolved", endsAt="2026-11-24T09:00:00.123456789+02:00"))
    assert heard.alerts[0].status is model.AlertStatus.RESOLVED
    assert heard.alerts[0].ends_at == datetime(2026, 11, 24, 7, 0, 0, 123457, tzinfo=UTC)


@pytest.mark.parametrize("ends_at", ["0001-01-01T00:00:00Z", None])
def test_resolved_alert_without_an_end_ended_when_it_was_heard(ends_at: str | None) -> None:
    assert decoded(with_alert(status="resolved", endsAt=ends_at)).alerts[0].ends_at == NOW


def test_resolved_alert_without_an_end_does_not_end_before_it_began() -> None:
    later = NOW + timedelta(minutes=1)
    heard = decoded(with_alert(status="resolved", startsAt=later.isoformat(), endsAt=None))
    assert heard.alerts[0].ends_at == later


def test_zero_start_means_now() -> None:
    assert decoded(with_alert(startsAt="0001-01-01T00:00:00Z")).alerts[0].starts_at == NOW


def test_offset_that_leaves_the_calendar_is_survived() -> None:
    heard = decoded(with_alert(startsAt="9999-12-31T23:59:59-01:00"))
    assert heard.alerts[0].starts_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_only_the_documented_fields_are_needed() -> None:
    heard = decoded(
        {
            "version": "4",
            "groupLabels": {},
            "alerts": [{"status": "firing", "labels": {}, "startsAt": "2026-11-24T03:00:00Z"}],
        }
    )
    assert heard == model.Notification(
        group_labels={},
        alerts=(
            model.Alert(
                fingerprint="cbf29ce484222325",
                status=model.AlertStatus.FIRING,
                labels={},
                annotations={},
                starts_at=datetime(2026, 11, 24, 3, 0, tzinfo=UTC),
                ends_at=None,
            ),
        ),
    )


@pytest.mark.parametrize(
    "extra", [{"notification_reason": "new alerts added"}, {"routeLabels": None}, {"routeLabels": {"a": "b"}}]
)
def test_newer_fields_are_accepted(extra: dict[str, Any]) -> None:
    assert decoded({**GOOD, **extra}) == decoded(GOOD)


@pytest.mark.parametrize("name", ["groupLabels", "commonLabels", "commonAnnotations"])
def test_null_map_is_empty(name: str) -> None:
    decoded({**GOOD, name: None})


@pytest.mark.parametrize("name", ["labels", "annotations"])
def test_null_map_of_an_alert_is_empty(name: str) -> None:
    heard = decoded(with_alert(**{name: None})).alerts[0]
    assert {"labels": heard.labels, "annotations": heard.annotations}[name] == {}


def test_receiver_is_unescaped() -> None:
    assert decoded({**GOOD, "receiver": r"team\.a\+b\\c"}).receiver == r"team.a+b\c"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"b\xffd", "b\ufffdd"),
        (b"b\xe2\x82d", "b\ufffdd"),
        (rb"b\ud800d", "b\ufffdd"),
        (rb"\udc00\ud800", "\ufffd\ufffd"),
        (rb"\ud83d\ude00", "\U0001f600"),
    ],
)
def test_broken_text_is_mended(sent: bytes, read: str) -> None:
    body = json.dumps(GOOD).encode().replace(b'"down"', b'"%b"' % sent)
    assert payload.decode(body, now=NOW).alerts[0].annotations["summary"] == read


def test_broken_text_in_a_label_name_is_mended() -> None:
    body = json.dumps(GOOD).encode().replace(b'"pod"', b'"p\xffd\\ud800"')
    assert payload.decode(body, now=NOW).alerts[0].labels["p\ufffdd\ufffd"] == "a"


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    body = json.dumps(GOOD).encode().replace(b'"version": "4"', b'"version": 3, "version": "4"')
    body = body.replace(b'"pod": "a"', b'"pod": 1, "pod": "a"')
    assert payload.decode(body, now=NOW) == decoded(GOOD)


def test_whole_number_may_be_written_as_a_fraction() -> None:
    body = json.dumps(GOOD).encode().replace(b'"truncatedAlerts": 0', b'"truncatedAlerts": 3.0')
    assert payload.decode(body, now=NOW).truncated_alerts == 3


def test_byte_order_mark_is_passed_over() -> None:
    assert payload.decode(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), now=NOW) == decoded(GOOD)


def test_number_of_a_million_digits_in_an_unknown_field_is_passed_over() -> None:
    body = json.dumps(GOOD).encode().replace(b'"down"', rb'"\ud800"')
    body = body.replace(b'"version"', b'"size": ' + b"9" * 1_000_000 + b', "version"')
    assert payload.decode(body, now=NOW).alerts[0].annotations["summary"] == "\ufffd"


def test_error_quotes_no_more_than_a_line_of_the_body() -> None:
    with pytest.raises(faults.Malformed) as refused:
        decoded(with_alert(status="x" * 100_000))
    assert len(refused.value.error) < 120


def test_published_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(faults.schema())


NEAR_MISSES: list[Any] = [
    *(None, True, -1, 0, 4, 2**63 - 1, 2**63, 2**64),
    *("", "4", "firing", "resolved", "moved"),
    *("2026-11-24T03:00:00Z", "2026-11-24T03:00:00", "0001-01-01T00:00:00+01:00"),
    *([], {}, [{}], {"a": "b"}, {"a": 1}, {"": None}),
]
ANYTHING = st.recursive(
    st.sampled_from(NEAR_MISSES) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every container in the document with each of its keys."""
    if not isinstance(document, dict | list):
        return []
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    return [(document, key) for key in keys] + [place for key in keys for place in places(document[key])]


def verdicts(document: Any) -> tuple[bool, bool]:
    """Whether the typed decoder takes it, and whether the published schema does."""
    body = json.dumps(document).encode()
    fast = slow = True
    try:
        payload._read(body, datetime(2026, 1, 15, tzinfo=UTC))
    except msgspec.DecodeError:
        fast = False
    try:
        faults.mend(body)
    except faults.Malformed:
        slow = False
    return fast, slow


def test_fast_way_and_published_schema_have_one_verdict_on_each_change() -> None:
    for number in range(len(places(GOOD))):
        for change in [*NEAR_MISSES, "removed"]:
            document = copy.deepcopy(dict(GOOD))
            container, key = places(document)[number]
            if change == "removed":
                del container[key]
            else:
                container[key] = change
            fast, slow = verdicts(document)
            assert fast == slow, f"{key} {change}: {fast}, {slow}"


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """The good message, changed in a few places."""
    document: Any = copy.deepcopy(dict(GOOD))
    for _ in range(draw(st.integers(2, 4))):
        container, key = draw(st.sampled_from(places(document) or [({"": 0}, "")]))
        # A copy: hypothesis hands out the same object again, and the next round may change it.
        container[key] = copy.deepcopy(draw(ANYTHING))
    return document


@settings(deadline=None)  # the machine may be busy
@given(mutated())
def test_fast_way_and_published_schema_have_one_verdict_on_many_changes(document: Any) -> None:
    fast, slow = verdicts(document)
    assert fast == slow


@settings(deadline=None)
@given(st.data())
def test_nothing_but_malformed_comes_of_a_damaged_body(data: st.DataObject) -> None:
    body = bytearray((FIXTURES / "good.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(faults.Malformed):
        payload.decode(bytes(body), now=NOW)
