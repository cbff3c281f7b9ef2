"""The pages in a real Chromium: on a phone, in the dark, with hostile text, without a word in the console."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from msgspec import structs
from playwright.async_api import Page, async_playwright

from routing import model
from tests import parts
from tests.contract import served
from tests.unit.build import GROUP, alert, message

CHROMIUM = parts.chromium()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; Debian's package is `chromium`"),
]

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE_PIXELS = 390
HOSTILE = (
    '<script>document.title = "taken"</script><img src=x onerror="document.title = \'taken\'">' + "W" * 300
)
RUNBOOKS = {
    "ServiceDown": """# Nothing runs

## First three minutes

1. Look.

   ```sh
   kubectl logs -n {namespace} -l app={service} --all-containers --prefix --tail=40 --previous
   ```

Then [recover](recovery.md#restart).

| a long heading of a column | another one | and a third | a fourth | a fifth |
| --- | ---: | --- | --- | --- |
| `PersistentVolumeClaim` | unbreakable-words-everywhere | c | d | e |
""",
    "recovery": "# Recovery\n\n## Restart\n\nOnce.\n",
}


@dataclass
class Visit:
    """One tab and what it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    async def is_wider_than_the_screen(self) -> bool:
        return bool(await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@asynccontextmanager
async def browsing(profile: Path, *, scheme: Literal["light", "dark"] = "light") -> AsyncIterator[Visit]:
    assert CHROMIUM is not None
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=SWITCHES,
            viewport={"width": PHONE_PIXELS, "height": 844},
            color_scheme=scheme,
        )
        context.set_default_timeout(10_000)
        page = await context.new_page()
        visit = Visit(page)
        page.on("console", lambda said: visit.complaints.append(said.text))
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on("requestfailed", lambda request: visit.complaints.append(request.url))
        try:
            yield visit
        finally:
            await context.close()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[served.Served]:
    """The service with one open P1 whose texts are hostile, told at one place."""
    async with served.serve(tmp_path / "state", runbooks=RUNBOOKS) as running:
        texts = {"summary": HOSTILE, "description": HOSTILE}
        one = structs.replace(alert(service="vpn-core", namespace="pm", note=HOSTILE), annotations=texts)
        (incident,) = await running.store.accept(message(one), sources=["eu-1"], body=b"", now=running.now)
        shows = model.Shown(episode=1, firing=frozenset([one.fingerprint]), priority=model.Priority.P1)
        await running.store.expect(incident, ["pagerduty"], 1, running.now)
        await running.store.settle(incident, "pagerduty", shows, running.now)
        yield running


async def test_way_from_the_overview_to_the_first_command(service: served.Served, tmp_path: Path) -> None:
    async with browsing(tmp_path / "profile") as visit:
        page = visit.page
        await page.goto(service.url)
        assert await page.get_by_role("heading", level=1).inner_text() == "1 open incident"
        await page.get_by_role("link", name="ServiceDown: vpn-core (eu-1/pm)").click()
        assert page.url == f"{service.url}/incidents/{model.incident_id(GROUP)}"
        assert "pagerduty told it shows as firing" in await page.locator("ul.told").inner_text()
        await page.get_by_role("link", name="Runbook").click()
        assert await page.get_by_role("heading", level=1).inner_text() == "Nothing runs"
        command = await page.locator("pre").text_content()
        assert command == "kubectl logs -n pm -l app=vpn-core --all-containers --prefix --tail=40 --previous"
        await page.get_by_role("link", name="recover").click()
        assert page.url.endswith("#restart")
        assert await page.get_by_role("heading", name="Restart").is_visible()
        assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pages_fit_a_phone_and_show_hostile_text_as_text(
    service: served.Served, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    async with browsing(tmp_path / "profile", scheme=scheme) as visit:
        for path in ("/", f"/incidents/{model.incident_id(GROUP)}"):
            await visit.page.goto(service.url + path)
            assert HOSTILE[:40] in await visit.page.locator("main").inner_text()
            assert "taken" not in await visit.page.title()
            assert not await visit.is_wider_than_the_screen()
        for path in ("/runbooks/ServiceDown", "/runbooks/none", "/incidents/none"):
            await visit.page.goto(service.url + path)
            assert not await visit.is_wider_than_the_screen()
        assert [text for text in visit.complaints if "404" not in text] == []


async def test_dark_where_the_reader_asks_for_it(service: served.Served, tmp_path: Path) -> None:
    async with browsing(tmp_path / "profile", scheme="dark") as visit:
        await visit.page.goto(service.url)
        paper = await visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(18, 22, 27)"


async def test_word_of_a_command_is_never_broken_in_two(service: served.Served, tmp_path: Path) -> None:
    async with browsing(tmp_path / "profile") as visit:
        await visit.page.goto(f"{service.url}/runbooks/ServiceDown?namespace=pm&service=vpn-core")
        lines_of_each_word = await visit.page.evaluate(
            "[...document.querySelectorAll('pre span')].map(word => word.getClientRects().length)"
        )
    assert set(lines_of_each_word) == {1}
