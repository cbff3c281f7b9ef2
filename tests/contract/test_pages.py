"""The pages that links lead to, over the network and a real store."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from routing import model
from tests.contract import served
from tests.unit.build import GROUP, alert, message
from webhook import pages, resync

ID = model.incident_id(GROUP)
RUNBOOKS = {
    "ServiceDown": """# ServiceDown: nothing runs

See [Recovery](recovery.md#restart), [docs](https://docs.example/a.md) and [gone](gone.md).

<script>alert("from the author")</script> ![picture](https://far.example/x.png) [bad](javascript:alert(1))

## First three minutes

1. Look at the pods.

   ```sh
   kubectl get pods -n {namespace} -l app={service}
   ```

## First three minutes

| left | right |
| :--- | ---: |
| a | b |
""",
    "recovery": "# Recovery\n\n## Restart\n",
}
HOSTILE = "<script>alert(1)</script><!channel> \u202e\x1b[2J"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[served.Served]:
    async with served.serve(tmp_path, runbooks=RUNBOOKS) as running:
        yield running


async def hear(service: served.Served, *alerts: model.Alert, **group: str) -> str:
    """Record alerts of a group; returns the incident's id."""
    labels = {**GROUP, **group}
    await service.store.accept(message(*alerts, group=labels), sources=[], body=b"", now=service.now)
    return model.incident_id(labels)


async def incident_of(service: served.Served, incident_id: str = ID) -> model.Incident:
    return (await service.store.situations([incident_id]))[incident_id].incident


async def state_to_show(service: served.Served) -> model.Shown:
    incident = await incident_of(service)
    firing = frozenset(one.fingerprint for one in incident.firing)
    return model.Shown(episode=incident.episode, firing=firing, priority=incident.priority)


async def tell(service: served.Served) -> None:
    """One destination was told what is true now."""
    shows = await state_to_show(service)
    await service.store.expect(ID, ["slack-ops"], shows.episode, service.now)
    await service.store.settle(ID, "slack-ops", shows, service.now)


def told(page: str) -> str:
    """What the page says of the one destination, in words."""
    found = re.search(r"<b>slack-ops</b>(.*?)</li>", page, re.DOTALL)
    assert found, page
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


class TestOverview:
    async def test_says_when_all_is_quiet(self, service: served.Served) -> None:
        status, page, _ = await service.get("/")
        assert status == 200
        assert "All quiet" in page

    async def test_counts_what_is_open_by_tier(self, service: served.Served) -> None:
        await hear(service, alert())
        await hear(service, alert("b", priority="P2"), cluster="eu-2")
        _, page, _ = await service.get("/")
        assert "2 open incidents" in page
        assert "1 P1, 1 P2" in page

    async def test_links_an_open_incident_and_says_since_when(self, service: served.Served) -> None:
        await hear(service, alert(service="vpn-core"))
        service.now += timedelta(minutes=5)
        _, page, _ = await service.get("/")
        assert f'<a href="/incidents/{ID}">ServiceDown: vpn-core (eu-1)</a>' in page
        assert "03:00:00 UTC" in page
        assert "(5 min 0 s ago)" in page

    async def test_says_each_summary_once(self, service: served.Served) -> None:
        same = {"summary": "a replica is down"}
        await hear(service, *(structs.replace(alert(name), annotations=same) for name in "abc"))
        _, page, _ = await service.get("/")
        assert page.count("a replica is down") == 1
        assert "(3 alerts)" in page

    async def test_links_the_runbook_with_the_names_to_fill_in(self, service: served.Served) -> None:
        await hear(service, alert(service="vpn-core", namespace="pm"))
        _, page, _ = await service.get("/")
        (link,) = re.findall(r'href="(/runbooks/[^"]*)"', page)
        _, runbook, _ = await service.get(link.replace("&amp;", "&"))
        assert "kubectl get pods -n pm -l app=vpn-core" in re.sub(r"</?span>", "", runbook)

    async def test_shows_the_most_urgent_and_how_many_more(self, service: served.Served) -> None:
        for number in range(203):
            await hear(service, alert(str(number)), n=str(number))
        _, page, _ = await service.get("/")
        assert "203 open incidents" in page
        assert page.count('<article class="card') == 200
        assert "3 more are open and not shown here" in page

    async def test_names_too_long_for_a_link_are_left_out_of_it(self, service: served.Served) -> None:
        await hear(service, alert(service="s" * 2000))
        _, page, _ = await service.get("/")
        assert 'href="/runbooks/ServiceDown"' in page

    async def test_shows_what_closed_lately(self, service: served.Served) -> None:
        await hear(service, alert())
        await hear(service, alert(ends=60))
        service.now += timedelta(minutes=5)
        _, page, _ = await service.get("/")
        assert "All quiet" in page
        assert "resolved 5 min 0 s ago" in page

    async def test_shows_that_no_source_was_heard_yet(self, service: served.Served) -> None:
        _, page, _ = await service.get("/")
        words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
        assert "any Prometheus missing no Watchdog has arrived yet" in words

    async def test_says_which_alertmanagers_are_believed_and_why_not(self, service: served.Served) -> None:
        service.alertmanagers = [
            resync.Seen(address="http://one:9093", answered_at=service.now, error="", doubts={"eu-1": ""}),
            resync.Seen(address="http://two:9093", error="it answers 503"),
            resync.Seen(address="http://three:9093", error="", doubts={"eu-1": "lists no Watchdog of it"}),
        ]
        _, page, _ = await service.get("/")
        section = page.partition("<h2>Alertmanagers</h2>")[2]
        words = " ".join(re.sub(r"<[^>]+>", " ", section).split())
        assert "http://one:9093 believed lists a fresh Watchdog of each source, answered 0 s ago" in words
        assert "http://two:9093 not believed it answers 503" in words
        assert "http://three:9093 not believed eu-1: lists no Watchdog of it" in words

    async def test_says_that_nobody_is_asked(self, service: served.Served) -> None:
        _, page, _ = await service.get("/")
        assert "ALERTMANAGER_URL is not set" in page

    async def test_says_what_is_silenced_and_by_whom(self, service: served.Served) -> None:
        silence = model.Mute(kind=model.MuteKind.SILENCED, by="ann", comment="<b>disk</b>")
        await hear(service, structs.replace(alert(), muted=silence))
        _, page, _ = await service.get("/")
        assert "It is silenced by ann (&lt;b&gt;disk&lt;/b&gt;)." in page
        _, page, _ = await service.get(f"/incidents/{ID}")
        assert '<span class="word">silenced</span>' in page

    async def test_says_that_a_recovery_is_not_confirmed(self, service: served.Served) -> None:
        await hear(service, structs.replace(alert(), recovers_at=service.now))
        _, page, _ = await service.get(f"/incidents/{ID}")
        assert '<span class="word">recovery unconfirmed</span>' in page
        assert "Recovery unconfirmed: Alertmanager said that it resolved" in page

    async def test_shows_sources_and_which_are_silent(self, service: served.Served) -> None:
        await service.store.accept(None, sources=["eu-1"], body=b"", now=service.now)
        service.now += timedelta(minutes=4)
        await service.store.accept(None, sources=["eu-2"], body=b"", now=service.now)
        _, page, _ = await service.get("/")
        words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
        assert "eu-1 missing its Watchdog was last heard 4 min 0 s ago" in words
        assert "eu-2 alive its Watchdog was last heard 0 s ago" in words

    async def test_shows_the_health_of_destinations(self, service: served.Served) -> None:
        service.lanes = {
            "pagerduty": pages.Lane(waiting=0, failing=False, suspended=False),
            "slack-info": pages.Lane(waiting=2, failing=True, suspended=False),
            "slack-ops": pages.Lane(waiting=1, failing=True, suspended=True),
        }
        _, page, _ = await service.get("/")
        words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
        assert "pagerduty working 0 incidents waiting" in words
        assert "slack-info failing 2 incidents waiting" in words
        assert "slack-ops broken 1 incident waiting" in words
        assert "paused" not in words

    async def test_shows_a_pause_and_a_summary_to_come(self, service: served.Served) -> None:
        service.lanes = {
            "slack-ops": pages.Lane(
                waiting=37, failing=False, suspended=False, paused_seconds=30, behind=True
            )
        }
        _, page, _ = await service.get("/")
        words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
        until = f"{served.NOW + timedelta(seconds=30):%H:%M:%S} UTC"
        assert f"37 incidents waiting, to be told in one summary, paused until {until}" in words


class TestToldWhat:
    """Each state of a delivery, in words, on the overview and on the incident's page alike."""

    @pytest.fixture(params=["/", f"/incidents/{ID}"])
    def path(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    async def says(self, service: served.Served, path: str) -> str:
        status, page, _ = await service.get(path)
        assert status == 200
        return told(page)

    async def test_nothing_yet(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        await service.store.expect(ID, ["slack-ops"], 1, service.now)
        assert await self.says(service, path) == "waiting not told yet"

    async def test_that_it_fires(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        await tell(service)
        assert await self.says(service, path) == "told it shows as firing, last receipt 03:00:00 UTC"

    async def test_that_it_is_resolved(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        await hear(service, alert(ends=60))
        await tell(service)
        assert await self.says(service, path) == "told it shows as resolved, last receipt 03:00:00 UTC"

    async def test_not_yet_that_it_is_resolved(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        await tell(service)
        await hear(service, alert(ends=60))
        assert (await self.says(service, path)).startswith("waiting it shows as firing, the resolve waits")

    async def test_not_yet_that_it_fires_again(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        await hear(service, alert(ends=60))
        await tell(service)
        await hear(service, alert(starts=120))
        assert (await self.says(service, path)).startswith("waiting it shows an earlier time, this one waits")

    async def test_an_earlier_firing_and_not_this_one(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        await tell(service)
        await hear(service, alert(ends=60))
        await hear(service, alert(starts=120))
        assert (await self.says(service, path)).startswith("waiting it shows an earlier time, this one waits")

    async def test_that_it_fires_while_a_change_is_on_its_way(
        self, service: served.Served, path: str
    ) -> None:
        await hear(service, alert())
        await tell(service)
        await hear(service, alert("b"))
        await service.store.intend(ID, "slack-ops", await state_to_show(service), service.now)
        assert (await self.says(service, path)).startswith(
            "waiting it shows as firing, a change is on its way"
        )

    async def test_nothing_because_it_fails(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        shows = await state_to_show(service)
        await service.store.expect(ID, ["slack-ops"], 1, service.now)
        await service.store.intend(ID, "slack-ops", shows, service.now)
        await service.store.fail(ID, "slack-ops", "503 from <Slack>", outcome_known=True)
        assert (
            await self.says(service, path)
            == "failing 1 attempt failed, goes on trying: 503 from &lt;Slack&gt;"
        )

    async def test_nothing_because_it_was_refused(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        shows = await state_to_show(service)
        await service.store.expect(ID, ["slack-ops"], 1, service.now)
        await service.store.bury(ID, "slack-ops", shows, "invalid_blocks", service.now)
        assert await self.says(service, path) == "refused for good: invalid_blocks"


class TestIncident:
    async def test_says_what_to_do_first(self, service: served.Served) -> None:
        await hear(service, alert(service="vpn-core", namespace="pm"))
        _, page, _ = await service.get(f"/incidents/{ID}")
        assert "Look at the pods." in page
        assert "kubectl get pods -n pm -l app=vpn-core" in re.sub(r"</?span>", "", page)

    async def test_shows_every_alert_with_its_labels_and_texts(self, service: served.Served) -> None:
        texts = {"summary": "a is down", "description": "0 of 3 replicas"}
        await hear(service, structs.replace(alert(zone="z1"), annotations=texts), alert("b"))
        await hear(service, alert("b", ends=60))
        _, page, _ = await service.get(f"/incidents/{ID}")
        for expected in (
            "a is down",
            "0 of 3 replicas",
            ">zone</span> z1",
            ">firing</span>",
            ">resolved</span>",
        ):
            assert expected in page

    async def test_says_that_a_firing_is_held(self, service: served.Served) -> None:
        await hear(service, alert("a"), alert("b"))
        await hear(service, alert("b", ends=60))
        await hear(service, alert("b", starts=30))
        _, page, _ = await service.get(f"/incidents/{ID}")
        assert ">held</span>" in page

    async def test_links_where_its_cause_can_be_seen(self, service: served.Served) -> None:
        one = structs.replace(
            alert(namespace="pm"),
            generator_url="http://prometheus-0:9090/graph?g0.expr=up",
            annotations={"dashboard_url": "http://grafana.local/d/x"},
        )
        await hear(service, one)
        _, page, _ = await service.get(f"/incidents/{ID}")
        for expected in (
            'href="http://prometheus.example/graph?g0.expr=up"',
            'href="http://grafana.example/d/x"',
            'href="http://grafana.example/explore?',
            'href="http://alertmanager.example/#/silences/new?',
        ):
            assert expected in page

    async def test_link_that_is_no_web_address_is_left_out(self, service: served.Served) -> None:
        bad = "javascript:alert(1)"
        await hear(service, structs.replace(alert(), generator_url=bad, annotations={"dashboard_url": bad}))
        _, page, _ = await service.get(f"/incidents/{ID}")
        assert "javascript:" not in page

    async def test_shows_earlier_episodes(self, service: served.Served) -> None:
        await hear(service, alert())
        service.now += timedelta(minutes=10)
        await hear(service, alert(ends=60))
        service.now += timedelta(minutes=10)
        await hear(service, alert(starts=1200))
        _, page, _ = await service.get(f"/incidents/{ID}")
        assert "10 min 0 s" in page
        assert "still open" in page

    async def test_shows_a_hundred_alerts_and_how_many_more(self, service: served.Served) -> None:
        await hear(service, *(alert(str(number)) for number in range(103)))
        _, page, _ = await service.get(f"/incidents/{ID}")
        assert page.count('<article class="card') == 100
        assert "3 alerts more" in page

    @pytest.mark.parametrize("asked", ["0" * 32, "x", "..%2f..%2fetc", "%00", "%ff"])
    async def test_unknown_one_is_404_and_says_where_to_go(self, service: served.Served, asked: str) -> None:
        status, page, _ = await service.get(f"/incidents/{asked}")
        assert status == 404
        assert '<a href="/">' in page


class TestRunbook:
    async def test_is_rendered(self, service: served.Served) -> None:
        status, page, headers = await service.get("/runbooks/ServiceDown")
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert '<h1 id="servicedown-nothing-runs">ServiceDown: nothing runs</h1>' in page
        assert "<title>ServiceDown: nothing runs · PhantomMesh Alerts</title>" in page

    async def test_headings_of_the_same_words_have_ids_of_their_own(self, service: served.Served) -> None:
        _, page, _ = await service.get("/runbooks/ServiceDown")
        assert 'id="first-three-minutes"' in page
        assert 'id="first-three-minutes-1"' in page

    async def test_link_to_another_runbook_leads_to_its_page(self, service: served.Served) -> None:
        _, page, _ = await service.get("/runbooks/ServiceDown")
        assert 'href="/runbooks/recovery#restart"' in page
        assert (await service.get("/runbooks/recovery"))[0] == 200

    async def test_link_to_another_runbook_takes_the_filled_in_names_along(
        self, service: served.Served
    ) -> None:
        _, page, _ = await service.get("/runbooks/ServiceDown?namespace=pm&service=vpn")
        assert 'href="/runbooks/recovery?namespace=pm&amp;service=vpn#restart"' in page

    async def test_other_links_stay_as_they_are(self, service: served.Served) -> None:
        _, page, _ = await service.get("/runbooks/ServiceDown")
        assert 'href="https://docs.example/a.md"' in page
        assert 'href="gone.md"' in page

    async def test_markup_of_the_author_is_text(self, service: served.Served) -> None:
        _, page, _ = await service.get("/runbooks/ServiceDown")
        assert "&lt;script&gt;alert" in page
        for forbidden in ("<script", "<img", 'href="javascript:', "style="):
            assert forbidden not in page

    async def test_placeholders_stay_without_names_to_fill_in(self, service: served.Served) -> None:
        _, page, _ = await service.get("/runbooks/ServiceDown")
        assert "-n {namespace} -l app={service}" in re.sub(r"</?span>", "", page)

    async def test_names_are_quoted_for_the_shell_and_escaped_for_the_page(
        self, service: served.Served
    ) -> None:
        _, page, _ = await service.get("/runbooks/ServiceDown?namespace=%3Cb%3E%3Breboot&service=vpn")
        assert "-n &#39;&lt;b&gt;;reboot&#39; -l app=vpn" in re.sub(r"</?span>", "", page)

    async def test_unknown_one_is_404_and_names_the_nearest(self, service: served.Served) -> None:
        status, page, _ = await service.get("/runbooks/ServiceDwn")
        assert status == 404
        assert '<a href="/runbooks/ServiceDown">ServiceDown</a>' in page

    async def test_unknown_one_that_is_near_none_is_404_and_names_all(self, service: served.Served) -> None:
        _, page, _ = await service.get("/runbooks/xyz")
        for name in RUNBOOKS:
            assert f'href="/runbooks/{name}"' in page

    @pytest.mark.parametrize("name", ["..%2fREADME", "ServiceDown.md", "%3Cscript%3E", "%ff"])
    async def test_name_is_looked_up_and_never_a_path(self, service: served.Served, name: str) -> None:
        status, page, _ = await service.get(f"/runbooks/{name}")
        assert status == 404
        assert "<script" not in page


class TestEveryPage:
    PATHS = ("/", f"/incidents/{ID}", "/runbooks/ServiceDown", "/incidents/none", "/runbooks/none")

    @pytest.mark.parametrize("path", PATHS)
    async def test_may_load_and_run_nothing(self, service: served.Served, path: str) -> None:
        await hear(service, alert())
        _, page, headers = await service.get(path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert not re.search(r'(?:src|href)="https?://', page.partition("<main>")[0])

    @pytest.mark.parametrize("path", ["/", f"/incidents/{ID}"])
    async def test_shows_untrusted_text_as_text(self, service: served.Served, path: str) -> None:
        texts = {"summary": HOSTILE, "description": HOSTILE}
        labels = {"alertname": "ServiceDown", "service": HOSTILE, HOSTILE: "x"}
        one = structs.replace(alert(), labels=labels, annotations=texts)
        await hear(service, one)
        _, page, _ = await service.get(path)
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert not re.search("[\x1b\u202e]", page)

    @pytest.mark.parametrize("path", ["/", f"/incidents/{ID}"])
    async def test_says_so_while_the_record_cannot_be_read(self, service: served.Served, path: str) -> None:
        await service.close_store()
        status, page, headers = await service.get(path)
        assert status == 503
        assert "The record cannot be read now" in page
        assert headers["Retry-After"] == "2"

    async def test_runbook_needs_no_record(self, service: served.Served) -> None:
        await service.close_store()
        assert (await service.get("/runbooks/ServiceDown"))[0] == 200
