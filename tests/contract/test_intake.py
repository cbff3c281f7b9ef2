"""`POST /webhook/alertmanager` and its neighbours, over the network and a real store (PRODUCT: HTTP)."""

import asyncio
import base64
import gzip
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from routing import model
from tests.contract import served
from webhook import auth, endpoint, health
from webhook.store import opening, writer

GOOD = (served.FIXTURES / "good.json").read_bytes()
REFUSED = json.loads((served.FIXTURES / "malformed.json").read_bytes())
REAL = {file.stem: file.read_bytes() for file in sorted((served.FIXTURES / "real").iterdir())}
MALFORMED = {file.stem: file.read_bytes() for file in (served.FIXTURES / "malformed").iterdir()}
ID = model.incident_id({"alertname": "ServiceDown", "cluster": "eu-1"})
TOKEN = "correct horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[served.Served]:
    async with served.serve(tmp_path) as running:
        yield running


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[served.Served]:
    """The service with a token."""
    async with served.serve(tmp_path, access=auth.Access(token=TOKEN)) as running:
        yield running


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[served.Served]:
    """The service that takes bodies of the good one's size and not a byte more."""
    async with served.serve(tmp_path, max_body_bytes=len(GOOD)) as running:
        yield running


@pytest.fixture
async def broken(service: served.Served) -> served.Served:
    """The service while its store takes nothing."""
    await service.close_store()
    return service


class TestAccepting:
    async def test_answer_names_the_changed_incidents(self, service: served.Served) -> None:
        status, answer, _ = await service.post(GOOD)
        assert (status, answer) == (200, {"changed": [ID]})

    async def test_message_is_on_disk_when_the_answer_comes(
        self, service: served.Served, tmp_path: Path
    ) -> None:
        await service.post(GOOD)
        with closing(sqlite3.connect(tmp_path / opening.DATABASE)) as connection:
            assert connection.execute("SELECT count(*) FROM notification").fetchone() == (1,)

    async def test_changed_incidents_are_woken(self, service: served.Served) -> None:
        await service.post(GOOD)
        assert service.woken == [ID]

    async def test_repeat_changes_nothing_and_wakes_nobody(self, service: served.Served) -> None:
        await service.post(GOOD)
        service.woken.clear()
        assert (await service.post(GOOD))[:2] == (200, {"changed": []})
        assert service.woken == []

    async def test_copied_fingerprint_takes_no_alert_from_another_incident(
        self, service: served.Served
    ) -> None:
        await service.post(GOOD)
        await service.post(GOOD.replace(b"eu-1", b"eu-2"))
        assert len(await service.store.open_incidents(10)) == 2

    async def test_messages_that_arrive_together_are_all_recorded(self, service: served.Served) -> None:
        bodies = [GOOD.replace(b"eu-1", b"eu-%d" % number) for number in range(20)]
        answers = await asyncio.gather(*(service.post(body) for body in bodies))
        assert [status for status, _, _ in answers] == [200] * 20
        assert len(await service.store.open_incidents(100)) == 20

    @pytest.mark.parametrize("name", REAL)
    async def test_bodies_of_real_alertmanagers_are_taken(self, service: served.Served, name: str) -> None:
        assert (await service.post(REAL[name]))[0] == 200

    async def test_media_type_may_name_its_charset(self, service: served.Served) -> None:
        assert (await service.post(GOOD, {"Content-Type": "application/json; charset=utf-8"}))[0] == 200

    async def test_large_body_is_taken(self, service: served.Served) -> None:
        document = json.loads(GOOD)
        document["alerts"] = [
            {
                **document["alerts"][0],
                "labels": {"alertname": "ServiceDown", "pod": str(n)},
                "fingerprint": "",
            }
            for n in range(2000)
        ]
        assert (await service.post(json.dumps(document).encode()))[0] == 200
        assert len((await service.store.situations([ID]))[ID].incident.firing) == 2000


class TestWatchdogs:
    @staticmethod
    def body(*alerts: dict[str, str], status: str = "firing") -> bytes:
        document = json.loads(GOOD)
        document["alerts"] = [
            {"status": status, "labels": labels, "startsAt": "2026-11-24T03:00:00Z"} for labels in alerts
        ]
        return json.dumps(document).encode()

    async def test_watchdog_is_never_an_incident(self, service: served.Served) -> None:
        status, answer, _ = await service.post(self.body({"alertname": "Watchdog", "cluster": "eu-1"}))
        assert (status, answer) == (200, {"changed": []})
        assert await service.store.open_incidents(10) == []

    @pytest.mark.parametrize(
        ("labels", "source"),
        [
            ({"cluster": "eu-1"}, "eu-1"),
            ({"cluster": "eu-1", "prometheus": "a"}, "eu-1/a"),
            ({}, ""),
        ],
    )
    async def test_watchdog_tells_that_its_source_lives(
        self, service: served.Served, labels: dict[str, str], source: str
    ) -> None:
        await service.post(self.body({"alertname": "Watchdog", **labels}))
        assert await service.store.sources() == {source: served.NOW}

    async def test_resolved_watchdog_tells_of_no_life(self, service: served.Served) -> None:
        await service.post(self.body({"alertname": "Watchdog", "cluster": "eu-1"}, status="resolved"))
        assert await service.store.sources() == {}

    async def test_alert_beside_a_watchdog_is_an_incident_without_it(self, service: served.Served) -> None:
        await service.post(
            self.body({"alertname": "Watchdog", "cluster": "eu-1"}, {"alertname": "ServiceDown"})
        )
        (situation,) = await service.store.open_incidents(10)
        assert [alert.labels for alert in situation.incident.firing] == [{"alertname": "ServiceDown"}]
        assert list(await service.store.sources()) == ["eu-1"]


class TestRefusing:
    @pytest.mark.parametrize("name", REFUSED)
    async def test_malformed_body_is_told_what_and_where(self, service: served.Served, name: str) -> None:
        status, answer, _ = await service.post(MALFORMED[name])
        assert (status, answer) == (400, dict(zip(("error", "pointer"), REFUSED[name], strict=True)))

    async def test_malformed_body_is_logged_once_and_counted_each_time(
        self, service: served.Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        for body in (b"one", b"one", b"other", b"one"):
            await service.post(body)
        assert len([record for record in caplog.records if "refused a body" in record.message]) == 2
        assert [answer.status for answer in service.answers] == [400] * 4

    @pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    async def test_what_is_not_json_by_its_type_is_415(self, service: served.Served, media_type: str) -> None:
        reader, _writer = await service.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + (f"Content-Type: {media_type}\r\n".encode() if media_type else b"")
            + b"Content-Length: %d\r\n\r\n" % len(GOOD)
            + GOOD
        )
        assert (await reader.readline()).split()[1] == b"415"

    @pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
    async def test_what_is_only_looked_at_takes_no_post(self, service: served.Served, path: str) -> None:
        status, text, headers = await service.get(path, method="POST")
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
        assert set(json.loads(text)) == {"error", "pointer"}

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
    async def test_other_methods_are_405(self, service: served.Served, method: str) -> None:
        status, _, headers = await service.get("/webhook/alertmanager", method=method)
        assert (status, headers["Allow"]) == (405, "POST")

    @pytest.mark.parametrize(
        "path", ["/nowhere", "/webhook", "/webhook/alertmanager/", "/-/", "/api/v1/alerts"]
    )
    async def test_other_paths_are_404(self, service: served.Served, path: str) -> None:
        status, text, _ = await service.get(path)
        assert (status, json.loads(text)) == (404, {"error": f"there is nothing at {path}", "pointer": ""})


class TestSize:
    async def test_body_of_the_largest_size_is_taken(self, small: served.Served) -> None:
        assert (await small.post(GOOD))[0] == 200

    async def test_one_byte_more_is_413(self, small: served.Served) -> None:
        status, answer, _ = await small.post(GOOD + b"\n")
        assert status == 413
        assert answer == {"error": f"the body is larger than {len(GOOD)} bytes", "pointer": ""}

    async def test_413_does_not_wait_for_the_body(self, small: served.Served) -> None:
        reader, _writer = await small.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000000000000\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"413"

    async def test_body_without_a_length_is_413_once_it_is_too_large(self, small: served.Served) -> None:
        reader, _writer = await small.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(GOOD) + 1, GOOD + b" ")
        )
        assert (await reader.readline()).split()[1] == b"413"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "unheard-of"])
    async def test_compressed_body_is_415(self, service: served.Served, encoding: str) -> None:
        headers = {**served.JSON, "Content-Encoding": encoding}
        status, told, _ = await service.post(gzip.compress(GOOD), headers)
        assert (status, told["error"]) == (
            415,
            "the body must come as it is, without a Content-Encoding",
        )

    @pytest.mark.parametrize("encoding", ["gzip", "br", "unheard-of"])
    async def test_credentials_come_before_the_encoding(self, closed: served.Served, encoding: str) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        assert (await closed.post(b"no such thing", headers))[0] == 401

    async def test_identity_is_no_encoding(self, service: served.Served) -> None:
        assert (await service.post(GOOD, {**served.JSON, "Content-Encoding": "identity"}))[0] == 200

    async def test_broken_chunk_is_400(self, service: served.Served) -> None:
        reader, _writer = await service.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nno length\r\n"
        )
        assert (await reader.readline()).split()[1] == b"400"


class TestCredentials:
    @pytest.mark.parametrize(
        "headers",
        [
            BEARER,
            {"Authorization": f"bearer {TOKEN}"},
            basic("alertmanager", TOKEN),
            basic("", TOKEN),
        ],
    )
    async def test_token_lets_in(self, closed: served.Served, headers: dict[str, str]) -> None:
        assert (await closed.post(GOOD, {**served.JSON, **headers}))[0] == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Bearer"},
            {"Authorization": TOKEN},
            {"Authorization": f"Digest {TOKEN}"},
            {"Authorization": "Basic !!!"},
            basic(TOKEN, "wrong"),
            basic("alertmanager", TOKEN + ":"),
            {"Authorization": basic("alertmanager", TOKEN)["Authorization"] + "!"},
            {"Authorization": "Bearer \udcff\udcfe"},
        ],
    )
    async def test_anything_else_is_401(self, closed: served.Served, headers: dict[str, str]) -> None:
        status, answer, told = await closed.post(GOOD, {**served.JSON, **headers})
        assert (status, set(answer)) == (401, {"error", "pointer"})
        assert told["WWW-Authenticate"].startswith("Bearer ")
        assert await closed.store.open_incidents(10) == []

    async def test_basic_is_offered_too(self, closed: served.Served) -> None:
        _, _, headers = await closed.post(GOOD)
        assert [value.split()[0] for value in headers.getall("WWW-Authenticate")] == ["Bearer", "Basic"]  # type: ignore[attr-defined]  # aiohttp's multidict

    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_come_before_the_method(self, closed: served.Served, method: str) -> None:
        assert (await closed.get("/webhook/alertmanager", method=method))[0] == 401

    async def test_come_before_the_type_the_size_and_the_body(self, closed: served.Served) -> None:
        reader, _writer = await closed.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 1000000000000\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"401"

    async def test_cautious_client_is_not_asked_for_its_body_without_them(
        self, closed: served.Served
    ) -> None:
        reader, _writer = await closed.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"401"

    async def test_cautious_client_is_asked_for_its_body_with_them(self, closed: served.Served) -> None:
        reader, writer = await closed.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
        )
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"100"
        writer.write(GOOD)
        assert (await reader.readline()).split()[1] == b"200"

    @pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
    async def test_are_not_asked_for_where_nothing_changes(self, closed: served.Served, path: str) -> None:
        assert (await closed.get(path))[0] == 200

    @pytest.mark.parametrize(
        ("access", "path"),
        [
            (auth.Access(token=TOKEN, pages_closed=True), "/"),
            (auth.Access(token=TOKEN, pages_closed=True), f"/incidents/{ID}"),
            (auth.Access(token=TOKEN, pages_closed=True), "/runbooks/ServiceDown"),
            (auth.Access(token=TOKEN, metrics_closed=True), "/metrics"),
        ],
    )
    async def test_close_what_is_configured_closed(
        self, closed: served.Served, access: auth.Access, path: str
    ) -> None:
        closed.access = access
        assert (await closed.get(path))[0] == 401
        assert (await closed.get(path, headers=BEARER))[0] != 401


class TestUnavailable:
    async def test_what_cannot_be_recorded_is_asked_to_come_again(self, broken: served.Served) -> None:
        status, answer, headers = await broken.post(GOOD)
        assert (status, answer) == (503, {"error": "it cannot be recorded now", "pointer": ""})
        assert int(headers["Retry-After"]) >= 1

    async def test_it_is_said_once_until_it_is_over(
        self,
        service: served.Served,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.INFO, "webhook.endpoint")
        with (
            monkeypatch.context() as patched,
            closing(sqlite3.connect(tmp_path / opening.DATABASE, isolation_level=None)) as other,
        ):
            patched.setattr(writer, "_DEADLINE_SECONDS", 0.05)
            other.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                assert (await service.post(GOOD))[0] == 503
            other.execute("ROLLBACK")
        await service.post(GOOD)
        await service.post(GOOD)
        told = [(record.levelname, record.getMessage(), record.exc_info) for record in caplog.records]
        assert told == [
            ("WARNING", "messages cannot be recorded", None),
            ("INFO", "messages are recorded again", None),
        ]

    async def test_whatever_else_goes_wrong_is_asked_to_come_again_and_logged(
        self, service: served.Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        del service.now  # the clock fails
        status, answer, headers = await service.post(GOOD)
        assert (status, answer["error"]) == (503, "it cannot be recorded now")
        assert int(headers["Retry-After"]) >= 1
        assert [record.exc_info is not None for record in caplog.records] == [True]

    async def test_it_is_handed_over_to_be_paged_past_the_store(self, broken: served.Served) -> None:
        await broken.post(GOOD)
        ((what, notification),) = broken.past_store.heard
        assert what == "refused"
        assert model.incident_id(notification.group_labels) == ID

    async def test_a_watchdog_alone_is_not_handed_over(self, broken: served.Served) -> None:
        message = json.loads(GOOD)
        message["alerts"] = message["alerts"][:1]
        message["alerts"][0]["labels"] = {"alertname": "Watchdog"}
        assert (await broken.post(json.dumps(message).encode()))[0] == 503
        assert broken.past_store.heard == []

    async def test_what_is_recorded_is_told_too(self, service: served.Served) -> None:
        await service.post(GOOD)
        assert [what for what, _ in service.past_store.heard] == ["recorded"]

    async def test_what_was_paged_of_its_incident_is_recorded_first(self, service: served.Served) -> None:
        await service.post(GOOD)
        assert [model.incident_id(one.group_labels) for one in service.past_store.preceded] == [ID]

        service.past_store.takes_nothing = True
        assert (await service.post(GOOD))[0] == 503
        assert [what for what, _ in service.past_store.heard] == ["recorded", "refused"]

    async def test_what_is_malformed_is_nobodys(self, service: served.Served) -> None:
        await service.post(b"{}")
        assert service.past_store.heard == []

    async def test_process_is_healthy_all_the_same(self, broken: served.Served) -> None:
        assert (await broken.get("/-/healthy"))[0] == 200

    async def test_process_is_not_ready(self, broken: served.Served) -> None:
        status, text, headers = await broken.get("/-/ready")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert text.startswith("Not ready: ")

    async def test_metrics_say_so(self, broken: served.Served) -> None:
        status, text, _ = await broken.get("/metrics")
        assert status == 200
        assert "phantommesh_alerts_store_up 0.0" in text

    async def test_store_that_is_busy_is_not_waited_for_and_what_it_has_is_woken_later(
        self, service: served.Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (
            closing(sqlite3.connect(tmp_path / opening.DATABASE, isolation_level=None)) as other,
            monkeypatch.context() as patched,
        ):
            patched.setattr(writer, "_DEADLINE_SECONDS", 0.05)
            other.execute("BEGIN IMMEDIATE")
            assert (await service.post(GOOD))[0] == 503
            assert service.woken == []
            other.execute("ROLLBACK")
        async with asyncio.timeout(10):
            while not service.woken:
                await service.store.probe()
        assert service.woken == [ID]

    async def test_metrics_say_so_also_between_two_probes(self, service: served.Served) -> None:
        assert "phantommesh_alerts_store_up 1.0" in (await service.get("/metrics"))[1]
        await service.close_store()
        assert "phantommesh_alerts_store_up 0.0" in (await service.get("/metrics"))[1]

    async def test_body_that_does_not_come_is_given_up(
        self, service: served.Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(endpoint, "READ_SECONDS", 0.05)
        reader, _writer = await service.raw(
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert (await reader.readline()).split()[1] == b"503"

    async def test_bodies_beyond_the_memory_for_them_are_asked_to_come_again(
        self, small: served.Served
    ) -> None:
        head = (
            b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(GOOD)
        )
        started = [await small.raw(head + GOOD[:-1]) for _ in range(5)]
        readings = [asyncio.create_task(reader.readline()) for reader, _ in started]
        done, waiting = await asyncio.wait(readings, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        assert [reading.result().split()[1] for reading in done] == [b"503"]
        for reading, (_, sender) in zip(readings, started, strict=True):
            if reading in waiting:
                sender.write(GOOD[-1:])
        assert [(await reading).split()[1] for reading in waiting] == [b"200"] * 4
        assert (await small.post(GOOD))[0] == 200

    async def test_client_that_leaves_does_no_harm(
        self, small: served.Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(10):
            _, writer = await small.raw(
                b"POST /webhook/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD[:-1]
            )
            writer.transport.abort()
        assert (await small.post(GOOD))[0] == 200
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


class TestOperating:
    async def test_ready_while_the_store_takes_commits(self, service: served.Served) -> None:
        assert (await service.get("/-/ready"))[0] == 200

    async def test_store_is_probed_at_most_once_a_second(self, service: served.Served) -> None:
        now = 0.0
        readiness = health.Readiness(service.store, monotonic=lambda: now)
        assert await readiness.trouble() is None
        await service.close_store()
        now = 0.9
        assert await readiness.trouble() is None
        now = 1.0
        assert await readiness.trouble() is not None

    async def test_not_ready_after_a_message_that_could_not_be_recorded_though_a_probe_can(
        self, service: served.Served
    ) -> None:
        now = 0.0
        readiness = health.Readiness(service.store, monotonic=lambda: now)
        readiness.noted(recorded=False)
        assert await readiness.trouble() == "the last message could not be recorded"
        now = 14.9
        assert await readiness.trouble() is not None
        readiness.noted(recorded=True)
        assert await readiness.trouble() is None
        readiness.noted(recorded=False)
        now = 30.0
        assert await readiness.trouble() is None, "nobody came again: the probe alone counts"

    async def test_reload_that_is_taken_is_200(self, service: served.Served) -> None:
        assert (await service.get("/-/reload", method="POST"))[0] == 200

    async def test_reload_that_is_refused_names_every_fault(self, service: served.Served) -> None:
        service.reload_faults = [
            "routing.yml:3: unknown key 'recievers'",
            "routing.yml:9: no such destination",
        ]
        status, text, _ = await service.get("/-/reload", method="POST")
        assert (status, text.splitlines()) == (500, service.reload_faults)

    async def test_reload_needs_the_token(self, closed: served.Served) -> None:
        assert (await closed.get("/-/reload", method="POST"))[0] == 401
        assert (await closed.get("/-/reload", method="POST", headers=BEARER))[0] == 200

    async def test_reload_is_not_a_matter_of_looking(self, service: served.Served) -> None:
        status, _, headers = await service.get("/-/reload")
        assert (status, headers["Allow"]) == (405, "POST, PUT")

    @pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
    async def test_head_answers_as_get_without_its_body(self, service: served.Served, path: str) -> None:
        status, text, _ = await service.get(path, method="HEAD")
        assert (status, text) == (200, "")

    async def test_every_answer_of_the_webhook_is_told(self, closed: served.Served) -> None:
        await closed.post(GOOD)
        await closed.post(GOOD, {**served.JSON, **BEARER})
        await closed.post(b"", {**served.JSON, **BEARER})
        assert [answer.status for answer in closed.answers] == [401, 200, 400]

    async def test_fault_of_ours_is_500_in_the_one_shape_and_logged(
        self, service: served.Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        del service.runbooks
        status, text, _ = await service.get("/")
        assert (status, set(json.loads(text))) == (500, {"error", "pointer"})
        assert "runbooks" not in text
        assert [record.exc_info is not None for record in caplog.records] == [True]

    async def test_answers_do_not_name_the_software_beneath(self, service: served.Served) -> None:
        _, _, headers = await service.get("/-/healthy")
        assert headers["Server"] == "phantommesh-alerts"
